"""What trains the runs of a sweep: one interface, four ways."""
