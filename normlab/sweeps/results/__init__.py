"""The results of a sweep: its table and its figure."""
