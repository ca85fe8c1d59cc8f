"""Writes what the documents show of results and code: `make docs`."""
