"""Norms of kernels: of a layer, not of an activation."""
