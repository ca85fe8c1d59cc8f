"""Norms x learning-rate multipliers, a file a scale."""
