"""Mean and variance: axes, masks, devices, running averages; pure functions.

All norms take their statistics from here. The variance is computed around a
shift that is already close to the mean, so no two large squares are ever
subtracted from each other: unit variance on a mean of 1e4 keeps three digits in
float32, where E[x^2] - E[x]^2 keeps none.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


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
) -> Moments:
  """Mean and variance of `x` over `axes`, in the precision of `x`.

  With s the rounded mean, d = x - s is small, and
  mean = s + E[d], var = E[d^2] - E[d]^2 lose nothing. The shift s is a constant
  for the gradient: both formulas hold for any s, and leaving it out of the
  derivative is what makes the backward pass one multiply-add.

  Args:
    x: the values; cast half precision to float32 before.
    axes: the axes to reduce, non-negative; none gives each value its own.
    mask: boolean, broadcastable to `x`; values where it is False do not count.
      An entry without any value has mean 0, variance 1, count 0, which leaves
      what it standardizes as it is.
    center: False takes the mean as zero, and `var` is E[|x|^2].
  """
  axes = tuple(axes)
  if mask is None:
    count = 1.0
    for axis in axes:
      count *= x.shape[axis]
  else:
    mask = jnp.broadcast_to(mask, x.shape)
    # Half precision cannot count beyond 2,048.
    precision = jnp.promote_types(x.real.dtype, jnp.float32)
    count = mask.sum(axes, keepdims=True, dtype=precision)

  def average(values: jax.Array) -> jax.Array:
    if mask is None:
      return values.mean(axes, keepdims=True)
    total = jnp.where(mask, values, 0).sum(axes, keepdims=True)
    return total / jnp.maximum(count, 1)

  if not center:
    var = average(abs_square(x))
    return _or_neutral(Moments(jnp.zeros_like(var), var, count))
  shift = lax.stop_gradient(average(x))
  deviation = x - shift
  remainder = average(deviation)
  var = average(abs_square(deviation)) - abs_square(remainder)
  # Rounding can leave a constant channel at -1e-20.
  result = Moments(shift + remainder, jnp.maximum(var, 0), count)
  return _or_neutral(result)


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
  return Moments(mean, var, parts.count * size)


def pool_devices(
  part: Moments, axis_name: str, axis_index_groups: Any = None
) -> Moments:
  """Joins the statistics of the devices along a mapped axis, by their counts.

  Weighting by counts is what makes unequal masks right: a mean of per-device
  means is not the mean of the joined batch.

  Args:
    part: this device's statistics.
    axis_name: the axis of `jax.shard_map`, `jax.pmap` or `jax.vmap`.
    axis_index_groups: join within these groups of devices only, as in
      `jax.lax.psum`.
  """

  def total(value: jax.Array) -> jax.Array:
    return lax.psum(value, axis_name, axis_index_groups=axis_index_groups)

  counts = jnp.broadcast_to(
    jnp.asarray(part.count, part.var.dtype), part.var.shape
  )
  joined = total(counts)
  weights = counts / jnp.maximum(joined, 1)
  mean = total(weights * part.mean)
  var = total(weights * (part.var + abs_square(part.mean - mean)))
  return _or_neutral(Moments(mean, var, joined))


def running_average(
  running: jax.Array,
  batch: jax.Array,
  momentum: float,
  count: jax.Array | float,
) -> jax.Array:
  """momentum * running + (1 - momentum) * batch; unchanged where count is 0."""
  updated = momentum * running + (1 - momentum) * batch
  if not isinstance(count, jax.Array):
    return updated
  return jnp.where(count > 0, updated, running)


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
