"""What came of a sweep: its table and its figure."""
