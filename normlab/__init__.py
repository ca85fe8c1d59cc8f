"""normlab: a laboratory for normalization layers in JAX and Flax."""
