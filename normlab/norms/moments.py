"""Mean and variance: axes, masks, devices, running averages; pure functions.

All norms take their statistics from here. No two large squares are ever
subtracted from each other: unit variance on a mean of 1e4 keeps three digits in
float32, where E[x^2] - E[x]^2 keeps none.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from normlab.norms.fusion import (
  apart,
  batch_shards,
  broadcast,
  once,
  sliced,
  total,
)


class Moments(NamedTuple):
  """Statistics of an array, shaped to broadcast against it.

  Attributes:
    mean: the array's shape with size one along the reduced axes.
    var: biased (divided by the count), never negative, real; shape of `mean`.
    count: how many values stand behind each entry: a number where there is no
      mask, else an array of the shape of `mean`.
  """

  mean: jax.Array
  var: jax.Array
  count: jax.Array | float


def abs_square(x: jax.Array) -> jax.Array:
  """|x|^2, real for complex x."""
  if jnp.iscomplexobj(x):
    return lax.square(lax.real(x)) + lax.square(lax.imag(x))
  return lax.square(x)


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
    x: the values.
    axes: the axes to reduce, non-negative; none gives each value its own.
    mask: boolean, broadcastable to `x`; values where it is False do not count.
      An entry without any value has mean 0, variance 1, count 0, which leaves
      what it standardizes as it is.
    center: False takes the mean as zero, and `var` is E[|x|^2].
    dtype: precision of the result; None is that of `x`.
  """
  axes = tuple(sorted(axes))
  x = traced(x)
  if mask is not None:
    mask = broadcast(traced(mask), x.shape, x)
  mean, var = _mean_and_var(x, mask, axes, center, dtype or x.dtype)
  return _or_neutral(Moments(mean, var, _count(x, mask, axes)))


def traced(x: jax.Array) -> jax.Array:
  """`x`, as a value of the program that is traced, if one is.

  A NumPy array that `jit` closes over and `vmap` maps is not, and JAX (0.10.2)
  then rejects it as an argument of a function with a derivative of its own.
  """
  return jnp.array(x) if isinstance(x, jax.core.Tracer) else jnp.asarray(x)


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
  """d mean = E[dx], d var = 2 E[(x - mean) dx].

  Whatever the way to the values, this is their derivative; its transpose is
  one multiply-add over x, and nothing of x's size is kept for it but x.
  """
  x, mask = primals
  dx = tangents[0].astype(dtype)
  mean, var = _mean_and_var(x, mask, axes, center, dtype)
  count = jnp.maximum(_count(x, mask, axes), 1)

  def average(values: jax.Array) -> jax.Array:
    return once(_valid(values, mask).sum(axes, keepdims=True) / count)

  dmean = average(dx) if center else jnp.zeros_like(mean)
  slope = (x.astype(dtype) - mean).conj() * dx
  return (mean, var), (dmean, average(2 * slope.real))


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
    var = average(abs_square(x.astype(dtype)))
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
    parts.append(_count(x, mask, inner))
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
  if mask is None:
    shape = [1 if axis in axes else n for axis, n in enumerate(x.shape)]
    return _number(math.prod(x.shape[axis] for axis in axes), shape)
  # Half precision cannot count beyond 2,048.
  precision = jnp.promote_types(x.real.dtype, jnp.float32)
  return mask.sum(axes, keepdims=True, dtype=precision)


def _number(count: Any, shape: Sequence[int]) -> jax.Array | float:
  """A count; an array of this shape where a size is symbolic (`jax.export`)."""
  if isinstance(count, int | float):
    return float(count)
  return jnp.full(shape, count, jnp.float32)


def _valid(values: jax.Array, mask: jax.Array | None) -> jax.Array:
  """The values, zero where the mask is False."""
  return values if mask is None else jnp.where(mask, values, 0)


def pool(parts: Moments, axes: Sequence[int]) -> Moments:
  """Joins the statistics of disjoint parts, as if computed on their union.

  var = E_parts[var_i + |mean_i - mean|^2], each part weighted by its count
  (Chan et al. 1983): no difference of large squares here either.

  Args:
    parts: one entry a part along `axes`.
    axes: the axes of the entries to join; kept with size one.
  """
  axes = tuple(axes)
  counts = jnp.broadcast_to(parts.count, parts.var.shape)
  total = counts.sum(axes, keepdims=True)
  weights = counts / jnp.maximum(total, 1)
  # As in `moments`: three thirds are not one, and an error of 1e-7 of a large
  # mean is not small beside a small deviation.
  shift = lax.stop_gradient((weights * parts.mean).sum(axes, keepdims=True))
  mean = shift + (weights * (parts.mean - shift)).sum(axes, keepdims=True)
  spread = parts.var + abs_square(parts.mean - mean)
  var = (weights * spread).sum(axes, keepdims=True)
  if isinstance(parts.count, jax.Array):
    return _or_neutral(Moments(mean, var, total))
  size = 1
  for axis in axes:
    size *= parts.var.shape[axis]
  return Moments(mean, var, _number(parts.count * size, mean.shape))


def pool_devices(
  part: Moments, axis_name: str, axis_index_groups: Any = None
) -> Moments:
  """Joins the statistics of the devices along a mapped axis, by their counts.

  Weighting by counts is what makes unequal masks right: a mean of per-device
  means is not the mean of the joined batch. Each device puts its statistics
  into a slot of its own, so that one sum brings all of them to all devices.

  Args:
    part: this device's statistics.
    axis_name: the axis of `jax.shard_map`, `jax.pmap` or `jax.vmap`.
    axis_index_groups: join within these groups of devices only, as in
      `jax.lax.psum`.
  """
  devices = lax.psum(1, axis_name)
  mine = jnp.arange(devices) == lax.axis_index(axis_name)
  count = jnp.broadcast_to(
    jnp.asarray(part.count, part.var.dtype), part.var.shape
  )

  def slotted(value: jax.Array) -> jax.Array:
    return jnp.where(mine.reshape(-1, *[1] * value.ndim), value, 0)

  parts = lax.psum(
    tuple(map(slotted, (part.mean, part.var, count))),
    axis_name,
    axis_index_groups=axis_index_groups,
  )
  return Moments(*(value.squeeze(0) for value in pool(Moments(*parts), [0])))


def running_average(
  running: jax.Array,
  batch: jax.Array,
  momentum: float | jax.Array,
  count: jax.Array | float,
) -> jax.Array:
  """momentum * running + (1 - momentum) * batch; unchanged where count is 0."""
  updated = momentum * running + (1 - momentum) * batch
  if not isinstance(count, jax.Array):
    return updated.astype(running.dtype)
  # Of features that devices share, the batch's statistics are shared too.
  unchanged = broadcast(running, updated.shape, updated)
  return jnp.where(count > 0, updated, unchanged).astype(running.dtype)


def _or_neutral(result: Moments) -> Moments:
  """Gives entries that no value stands behind mean 0 and variance 1."""
  if not isinstance(result.count, jax.Array):
    return result
  some = result.count > 0
  return Moments(
    jnp.where(some, result.mean, 0),
    jnp.where(some, result.var, 1),
    result.count,
  )
