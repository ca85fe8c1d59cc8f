"""Pooling of 3x3 windows."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax


def max_pool(
  x: jax.Array, *, strides: int = 2, symmetric: bool = False
) -> jax.Array:
  """3x3 max pooling: [b, h, w, c] -> [b, h / strides, w / strides, c].

  One axis after the other, as a maximum of three strided slices: the gradient
  is then selections, where that of `nn.max_pool` is XLA's select-and-scatter,
  which took a tenth of a training step of the small Inception on a CPU.

  Sizes are rounded up. `symmetric` pads as many rows in front as behind, as
  PyTorch's networks do; False is 'SAME', which with stride 2 and an even size
  pads behind only.
  """
  for axis in (1, 2):
    x = _max_pool_axis(x, axis, strides, symmetric)
  return x


def _max_pool_axis(
  x: jax.Array, axis: int, strides: int, symmetric: bool
) -> jax.Array:
  size = x.shape[axis]
  out = -(-size // strides)
  total = max(strides * (out - 1) + 3 - size, 0)
  # Behind, symmetric padding may be in no window: then it is left out.
  front = 1 if symmetric else total // 2
  padding: list[Any] = [(0, 0, 0)] * x.ndim
  padding[axis] = (front, total - front, 0)
  x = lax.pad(x, jnp.asarray(-jnp.inf, x.dtype), padding)
  windows = (
    lax.slice_in_dim(
      x, k, k + strides * (out - 1) + 1, stride=strides, axis=axis
    )
    for k in range(3)
  )
  first, second, third = windows
  return jnp.maximum(jnp.maximum(first, second), third)


def mean_pool(x: jax.Array) -> jax.Array:
  """3x3 mean pooling with stride 1: [b, h, w, c] -> [b, h, w, c].

  Padding does not count: a corner is the mean of four values. Of half precision
  the sums are in float32, which on a CPU is also twice as fast.
  """
  y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  y = nn.avg_pool(y, (3, 3), padding='SAME', count_include_pad=False)
  return y.astype(x.dtype)
