"""Moments, standardization and fields: what the layers are made of."""
