"""Data sets that stay on disk, through grain."""
