"""The networks of the speed-up, a file a scale."""
