"""Forms of a convolution: the same sums, by other operations.

Each form is called as form(x, kernel, strides, padding), with images [batch,
height, width, channels] in which the batch size may be symbolic, a kernel
[height, width, channels, features], and strides and padding (front, behind) of
height and width. It returns [batch, height, width, features], and is linear in
the images and in the kernel.

- `plain`: `lax.conv_general_dilated`.
- `padded`: the same, with both numbers of channels padded to multiples of 8,
  the width of the vectors.
- `blocked`: four neighbours in a row as one position with four times the
  features, if these are too few to fill a matrix product.
- `patches`: the patches of the images, times the kernel: one matrix product.
- `taps`: a matrix product for each position in the kernel, and their sum.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')
VECTOR = 8
BLOCK = 4

Strides = tuple[int, int]
Padding = tuple[tuple[int, int], tuple[int, int]]
Form = Callable[[jax.Array, jax.Array, Strides, Padding], jax.Array]


def plain(
  x: jax.Array, kernel: jax.Array, strides: Strides, padding: Padding
) -> jax.Array:
  """The convolution of XLA."""
  return lax.conv_general_dilated(
    x, kernel, strides, padding, dimension_numbers=DIMENSIONS
  )


def padded(
  x: jax.Array, kernel: jax.Array, strides: Strides, padding: Padding
) -> jax.Array:
  """With zeros as further channels, up to multiples of 8."""
  channels, features = kernel.shape[2:]
  more, none = (0, -channels % VECTOR), (0, 0)
  x = jnp.pad(x, (none, none, none, more))
  kernel = jnp.pad(kernel, (none, none, more, (0, -features % VECTOR)))
  return plain(x, kernel, strides, padding)[..., :features]


def blocked(
  x: jax.Array, kernel: jax.Array, strides: Strides, padding: Padding
) -> jax.Array:
  """With four kernels, each a stride further right than the one before.

  For a result whose width is a multiple of 4.
  """
  rows, columns, channels, features = kernel.shape
  steps = [strides[1] * i for i in range(BLOCK)]
  kernels = [
    jnp.pad(kernel, ((0, 0), (i, steps[-1] - i), (0, 0), (0, 0))) for i in steps
  ]
  kernel = jnp.stack(kernels, axis=3).reshape(
    rows, columns + steps[-1], channels, BLOCK * features
  )
  y = plain(x, kernel, (strides[0], BLOCK * strides[1]), padding)
  # In two steps, each of which is known to keep a sharding of the batch.
  y = y.reshape(*y.shape[:3], BLOCK, features)
  return y.reshape(*y.shape[:2], -1, features)


def patches(
  x: jax.Array, kernel: jax.Array, strides: Strides, padding: Padding
) -> jax.Array:
  """As one matrix product: [positions, patch] times [patch, features]."""
  see = windows(x, kernel, strides, padding)
  seen = [see(x, i, j) for i, j in np.ndindex(kernel.shape[:2])]
  return product(
    jnp.concatenate(seen, axis=-1), kernel.reshape(-1, kernel.shape[-1])
  )


def taps(
  x: jax.Array, kernel: jax.Array, strides: Strides, padding: Padding
) -> jax.Array:
  """As a sum of matrix products, [positions, channels] by [channels, features].

  Without strides of the whole images, of which the results are shifted. In the
  gradient of the kernel the cotangents are then shifted. Shifted images, which
  are known long before, XLA makes early: ResNet-18 took three times the memory.
  """
  see = windows(x, kernel, strides, padding)
  indices = list(np.ndindex(kernel.shape[:2]))
  if strides == (1, 1):
    return sum(see(product(x, kernel[i, j]), i, j) for i, j in indices)
  return sum(product(see(x, i, j), kernel[i, j]) for i, j in indices)


def windows(
  x: jax.Array, kernel: jax.Array, strides: Strides, padding: Padding
) -> Callable[[jax.Array, int, int], jax.Array]:
  """A function see(x, i, j): what the kernel sees at its row i and column j.

  It maps images of the height and width of `x`, with any number of channels, to
  those of the result.
  """
  sizes = out_sizes(x.shape, kernel.shape, strides, padding)

  def see(x: jax.Array, *starts: int) -> jax.Array:
    # Unlike jnp.pad, takes negative numbers.
    pads = [(front, behind, 0) for front, behind in ((0, 0), *padding, (0, 0))]
    x = lax.pad(x, jnp.zeros((), x.dtype), pads)
    for axis in (1, 2):
      start, stride = starts[axis - 1], strides[axis - 1]
      stop = start + stride * (sizes[axis - 1] - 1) + 1
      x = lax.slice_in_dim(x, start, stop, stride, axis)
    return x

  return see


def product(x: jax.Array, matrix: jax.Array) -> jax.Array:
  """[b, h, w, channels] times [channels, features].

  As a product of two matrices: the gradient of `matrix` from one of four axes
  was half as fast.
  """
  y = x.reshape(-1, x.shape[-1]) @ matrix
  return y.reshape(*x.shape[:-1], matrix.shape[-1])


def out_sizes(
  shape: Sequence[Any],
  kernel_shape: Sequence[int],
  strides: Strides,
  padding: Padding,
) -> tuple[int, int]:
  """Height and width of the result; shapes of images and kernel."""
  height, width = (
    max((size + sum(pads) - kernel) // stride + 1, 0)
    for size, kernel, stride, pads in zip(
      shape[1:3], kernel_shape[:2], strides, padding, strict=True
    )
  )
  return height, width
