"""Convolutions in the form that a CPU computes fastest.

On a CPU, XLA (jax 0.10.2) leaves convolutions to Eigen, which is fast for many
channels and images of middling size, and 2 to 20 times slower elsewhere. Here
the value and both gradients are each computed in the fastest of the forms in
`convolution_forms`.

Microseconds on one core (Xeon at 2.5 GHz, AVX-512), 32 images, 3x3 kernels
unless noted, as [height, width, channels] -> features; v: the value, i: the
gradient of the images, k: that of the kernel.

| | plain | chosen |
|---|---|---|
| [32, 32, 3] -> 32 | v 5148 | 1672 blocked |
| [32, 32, 10] -> 8 | v 4494 | 1423 blocked |
| [16, 16, 27] -> 13 | v 3027, i 2819, k 2435 | 1168, 968, 1712 padded |
| [8, 8, 56] -> 27 | v 1192, i 1268, k 1972 | 810, 1393, 1278 padded |
| [2, 2, 56] -> 27 | v 541, i 935, k 135 | 153, 136, 165 patches |
| [4, 4, 64] -> 128, strides 2 | v 389, i 4755, k 383 | 347, 517, 329 patches |
| [16, 16, 27] -> 16, 1x1 | v 501, i 370, k 1206 | 345, 248, 437 patches |
| [14, 14, 256] -> 1024, 1x1 | v 75, i 149, k 395 ms | 54, 54, 36 ms patches |
| [16, 16, 128] -> 128 | k 81 ms | 40 ms taps |
| [32, 32, 32] -> 64, strides 2 | k 15 ms | 10 ms taps |
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from normlab.models.ops.convolution_forms import (
  BLOCK,
  DIMENSIONS,
  VECTOR,
  Form,
  Padding,
  Strides,
  blocked,
  out_sizes,
  padded,
  patches,
  plain,
  taps,
)

# Elements of the images from which Eigen's gradient of the kernel is slow.
MANY = 2**19


class Forms(NamedTuple):
  """Forms of the convolution, and of its derivatives by images and kernel."""

  value: Form
  images: Form
  kernel: Form


def convolve(
  lhs: jax.Array,
  rhs: jax.Array,
  window_strides: Sequence[int],
  padding: str | Sequence[tuple[int, int]],
  **options: Any,
) -> jax.Array:
  """`lax.conv_general_dilated`, for `nn.Conv(conv_general_dilated=convolve)`.

  Another form is taken only on a CPU, for images and kernels of float32 without
  dilation, groups or a chosen precision; the batch size may be symbolic.

  Args:
    lhs: images [batch, height, width, channels].
    rhs: kernel [height, width, channels, features].
    window_strides: of height and width.
    padding: 'SAME', 'VALID' or (front, behind) of height and width.
    **options: the other arguments of `lax.conv_general_dilated`.

  Returns:
    [batch, height, width, features], equal up to rounding in any form.
  """
  if not is_covered(lhs, rhs, **options):
    return lax.conv_general_dilated(
      lhs, rhs, window_strides, padding, **options
    )
  strides = tuple(window_strides)
  if isinstance(padding, str):
    sizes = lhs.shape[1:3], rhs.shape[:2]
    padding = lax.padtype_to_pads(*sizes, strides, padding)
  padding = tuple((int(front), int(behind)) for front, behind in padding)
  if min(map(min, padding)) < 0:
    forms = Forms(plain, plain, plain)
  else:
    forms = choose(lhs.shape, rhs.shape, strides, padding)
  return _convolve(lhs, rhs, forms, strides, padding)


def is_covered(
  lhs: jax.Array,
  rhs: jax.Array,
  *,
  lhs_dilation: Sequence[int] | None = None,
  rhs_dilation: Sequence[int] | None = None,
  dimension_numbers: Any = None,
  feature_group_count: int = 1,
  **others: Any,
) -> bool:
  """Whether `convolve` may take another form than `plain`."""
  if jax.default_backend() != 'cpu' or lhs.ndim != 4:
    return False
  dilations = *(lhs_dilation or ()), *(rhs_dilation or ())
  numbers, covered = (
    lax.conv_dimension_numbers(lhs.shape, rhs.shape, given)
    for given in (dimension_numbers, DIMENSIONS)
  )
  return (
    numbers == covered
    and lhs.dtype == rhs.dtype == jnp.float32
    and all(isinstance(n, int) for n in (*lhs.shape[1:], *rhs.shape))
    and all(n == 1 for n in dilations)
    and feature_group_count == 1
    and all(value is None for value in others.values())
  )


def choose(
  shape: Sequence[Any],
  kernel_shape: Sequence[int],
  strides: Strides,
  padding: Padding,
) -> Forms:
  """The forms that were fastest, by the table above.

  The arguments are as in `convolution_forms`; the batch size may be symbolic.
  """
  channels, features = kernel_shape[2:]
  if tuple(kernel_shape[:2]) == (1, 1):
    product = patches if min(channels, features) >= VECTOR else plain
    return Forms(product, product, patches)
  height, width = out_sizes(shape, kernel_shape, strides, padding)
  if 1 <= height * width <= (16 if channels >= 128 else 4):
    return Forms(patches, patches, patches)
  # 10 channels filled up to 16 would cost more than they gain.
  form = padded if 4 * (-channels % VECTOR) <= channels else plain
  few = channels < 4 or features <= VECTOR
  is_blocked = few and strides == (1, 1) and width % BLOCK == 0
  is_large = isinstance(shape[0], int) and MANY <= (
    shape[0] * shape[1] * shape[2] * channels
  )
  by_taps = is_large and channels >= 32
  return Forms(blocked if is_blocked else form, form, taps if by_taps else form)


# A tangent is the sum of two forms; reverse mode transposes each, which gives
# the gradients in these forms, and forward mode and vmap work as ever.
@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def _convolve(
  x: jax.Array,
  kernel: jax.Array,
  forms: Forms,
  strides: Strides,
  padding: Padding,
) -> jax.Array:
  return forms.value(x, kernel, strides, padding)


# Symbolic zeros, as the images of the first layer have no gradient.
@functools.partial(_convolve.defjvp, symbolic_zeros=True)
def _tangent(
  forms: Forms,
  strides: Strides,
  padding: Padding,
  primals: tuple[jax.Array, jax.Array],
  tangents: tuple[Any, Any],
) -> tuple[jax.Array, jax.Array]:
  x, kernel = primals
  dx, dkernel = tangents
  y = _convolve(x, kernel, forms, strides, padding)
  dy = jnp.zeros_like(y)
  if not isinstance(dx, SymbolicZero):
    dy += forms.images(dx, kernel, strides, padding)
  if not isinstance(dkernel, SymbolicZero):
    dy += forms.kernel(x, dkernel, strides, padding)
  return y, dy
