"""Runs that differ in numbers alone, as one program."""
