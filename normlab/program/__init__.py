"""What is compiled, and nothing else: pure functions."""
