"""Rows, events and checkpoints of a run, consistent so that it can resume."""
