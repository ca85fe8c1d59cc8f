"""Dropout whose rate may be an argument of the compiled program."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax


class Dropout(nn.Module):
  """Zeros a share of the values in training, and scales up the others.

  For a number the bits of `flax.linen.Dropout`, which takes nothing else: with
  a scalar array, runs that differ in their rate can be stacked in one program.
  """

  rate: float | jax.Array

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps values of any shape; draws from the stream 'dropout'."""
    is_number = not isinstance(self.rate, jax.Array)
    if not train or (is_number and self.rate == 0):
      return x
    kept = 1 - self.rate
    mask = jax.random.bernoulli(self.make_rng('dropout'), kept, x.shape)
    # In the precision of x: an array of float32 would set that of the result.
    scaled = x / jnp.asarray(kept, x.dtype)
    return lax.select(mask, scaled, jnp.zeros_like(x))
