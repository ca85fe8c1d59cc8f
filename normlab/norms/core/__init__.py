"""Moments, standardization and fields: the building blocks of the layers."""
