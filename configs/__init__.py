"""Configurations of training runs: data, and ml_collections only."""
