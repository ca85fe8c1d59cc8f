"""Rows, events and checkpoints of a run, kept consistent so that it can resume."""
