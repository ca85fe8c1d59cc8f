"""Mean and variance over axes of an array; pure functions.

All norms take their statistics from here. No two large squares are ever
subtracted from each other: unit variance on a mean of 1e4 keeps three digits in
float32, where E[x^2] - E[x]^2 keeps none.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from normlab.norms.core.fusion import (
  apart,
  batch_shards,
  broadcast,
  once,
  sliced,
  total,
  traced,
)
from normlab.norms.core.pooling import (
  Moments,
  abs_square,
  neutral_where_empty,
  number,
  pool,
)


def moments(
  x: jax.Array,
  axes: Sequence[int],
  *,
  mask: jax.Array | None = None,
  center: bool = True,
  dtype: Any = None,
) -> Moments:
  """Mean and variance of `x` over `axes`: var = E[|x - mean|^2].

  Never a difference of two large squares, which keeps no digit of the variance
  where the mean is large. Over a batch that devices share under `jit`, one
  all-reduce joins the statistics (see `_over_batch`).

  Args:
    axes: the axes to reduce, non-negative; none gives each value its own.
    mask: boolean, broadcastable to `x`; values where it is False do not count.
      An entry without any value has mean 0, variance 1, count 0, which leaves
      what it standardizes as it is.
    center: False takes the mean as zero, and `var` is E[|x|^2].
    dtype: precision of the result; None is that of `x`.
  """
  axes = tuple(sorted(axes))
  x = jnp.asarray(x)
  if mask is not None:
    mask = broadcast(traced(mask), x.shape, x)
  mean, var = _mean_and_var(x, mask, axes, center, dtype or x.dtype)
  return neutral_where_empty(Moments(mean, var, _count(x, mask, axes)))


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def _mean_and_var(
  x: jax.Array,
  mask: jax.Array | None,
  axes: tuple[int, ...],
  center: bool,
  dtype: Any,
) -> tuple[jax.Array, jax.Array]:
  if axes and axes[0] == 0 and _slots(x) > 1:
    return _over_batch(x, mask, axes, center, dtype)
  shift, remainder, var = _over_axes(x, mask, axes, center, dtype)
  return shift + remainder, var


@_mean_and_var.defjvp
def _mean_and_var_jvp(
  axes: tuple[int, ...], center: bool, dtype: Any, primals: Any, tangents: Any
) -> Any:
  x, mask = primals
  mean, var = _mean_and_var(x, mask, axes, center, dtype)
  dmean, dvar = _mean_and_var_tangent(x, mask, mean, tangents[0], axes)
  return (mean, var), (dmean if center else jnp.zeros_like(mean), dvar)


# Checkpointed, as in `standardize`: the backward pass keeps x, and not what is
# computed from it.
@functools.partial(jax.checkpoint, prevent_cse=False, static_argnums=4)
def _mean_and_var_tangent(
  x: jax.Array,
  mask: jax.Array | None,
  mean: jax.Array,
  dx: jax.Array,
  axes: tuple[int, ...],
) -> tuple[jax.Array, jax.Array]:
  """d mean = E[dx], d var = 2 E[(x - mean) dx].

  Whatever the way to the values, this is their derivative; its transpose is
  one multiply-add over x.
  """
  count = jnp.maximum(_count(x, mask, axes), 1)

  def average(values: jax.Array) -> jax.Array:
    return once(_valid(values, mask).sum(axes, keepdims=True)) / count

  dx = dx.astype(mean.dtype)
  slope = (x.astype(mean.dtype) - once(mean)).conj() * dx
  return average(dx), 2 * average(slope.real)


def _over_axes(
  x: jax.Array,
  mask: jax.Array | None,
  axes: tuple[int, ...],
  center: bool,
  dtype: Any,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The mean, in two parts whose sum is exact, and the variance.

  With d = x - s for a shift s that is about the mean, mean = s + E[d] and
  var = E[d^2] - E[d]^2, which loses as many digits as s is wrong by deviations.
  """
  count = jnp.maximum(_count(x, mask, axes), 1)

  def average(values: jax.Array) -> jax.Array:
    values = _valid(values, mask)
    return total(values, axes) / count if axes else values

  if not center:
    var = average(abs_square(apart(x)[0].astype(dtype)))
    zero = jnp.zeros_like(var, dtype)
    return zero, zero, var
  if mask is None:
    shift = _first_row(x, axes).astype(dtype)
  else:
    shift = average(x.astype(dtype))
  x1, shift1 = apart(x, shift)
  x2, shift2, _ = apart(x, shift, shift)
  remainder = average(x1.astype(dtype) - shift1)
  square = average(abs_square(x2.astype(dtype) - shift2))
  # Rounding can leave a constant channel at -1e-20.
  return shift, remainder, jnp.maximum(square - abs_square(remainder), 0)


def _first_row(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
  """A guess of the mean for which x need not be read: that of its first row.

  The row, along the last of several reduced axes, can be far from the mean, but
  by no more than sqrt(n) deviations for n rows: the variance then loses a
  factor n of its 1e7.
  """
  *others, last = axes or (None,)
  spec = jax.typeof(x).sharding.spec
  for axis in others or axes:
    # One device has the row of an axis that they share: there all are read.
    if spec[axis]:
      x = x.mean(axis, keepdims=True)
    else:
      x = lax.slice_in_dim(x, 0, 1, axis=axis)
  return x.mean(last, keepdims=True) if others else x


def _over_batch(
  x: jax.Array,
  mask: jax.Array | None,
  axes: tuple[int, ...],
  center: bool,
  dtype: Any,
) -> tuple[jax.Array, jax.Array]:
  """Mean and variance over a batch that devices may share.

  The variance needs a shift near the mean first, and so, of a sharded batch, a
  second all-reduce. Instead each of a few slices of the batch has its own,
  which no device waits for, and one all-reduce brings the statistics of all to
  every device: as a product with the identity, a sum over the sharded axis.
  """
  slots = _slots(x)
  inner = tuple(axis + 1 for axis in axes)
  x = sliced(x, slots)
  mask = None if mask is None else sliced(mask, slots)
  parts = list(_over_axes(x, mask, inner, center, dtype))
  if mask is not None:
    parts.append(_valid_count(x, mask, inner))
  gathered = jnp.tensordot(
    jnp.eye(slots, dtype=dtype),
    jnp.concatenate([part.astype(dtype) for part in parts], axis=1),
    axes=1,
    precision=lax.Precision.HIGHEST,
  )
  shift, remainder, var, *count = (
    gathered[:, index] for index in range(len(parts))
  )
  origin = shift[:1]
  joined = pool(
    Moments(
      (shift - origin) + remainder, var.real, count[0].real if count else 1.0
    ),
    [0],
  )
  return origin + joined.mean, joined.var


def _slots(x: jax.Array) -> int:
  """Into how many slices to divide a batch, evenly: about 64 at most.

  Devices that share the batch must have whole slices. Where their number is
  known (a mesh with explicit axes) it decides; else it is taken to be a power
  of two.
  """
  if not isinstance(x.shape[0], int):  # A symbolic size, of `jax.export`.
    return 1
  shards = batch_shards(x)
  sizes = [n for n in range(1, 65) if len(x) % n == 0 and n % shards == 0]
  return max(sizes, key=lambda n: (n & -n, n), default=shards)


def _count(
  x: jax.Array, mask: jax.Array | None, axes: tuple[int, ...]
) -> jax.Array | float:
  """How many values each entry has; a number where there is no mask."""
  if mask is not None:
    return _valid_count(x, mask, axes)
  shape = [1 if axis in axes else n for axis, n in enumerate(x.shape)]
  return number(math.prod(x.shape[axis] for axis in axes), shape)


def _valid_count(
  x: jax.Array, mask: jax.Array, axes: tuple[int, ...]
) -> jax.Array:
  """How many values of each entry the mask leaves."""
  # Half precision cannot count beyond 2,048.
  precision = jnp.promote_types(x.real.dtype, jnp.float32)
  return mask.sum(axes, keepdims=True, dtype=precision)


def _valid(values: jax.Array, mask: jax.Array | None) -> jax.Array:
  """The values, zero where the mask is False."""
  return values if mask is None else jnp.where(mask, values, 0)
