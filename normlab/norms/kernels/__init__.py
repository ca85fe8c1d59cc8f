"""Norms of kernels: they wrap a layer, not an activation."""
