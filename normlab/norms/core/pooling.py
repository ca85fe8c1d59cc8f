"""Statistics of parts joined to those of the whole; pure functions."""

import math
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


def pool(parts: Moments, axes: Sequence[int]) -> Moments:
  """Joins the statistics of disjoint parts, as if computed on their union.

  var = E_parts[var_i + |mean_i - mean|^2], each part weighted by its count
  (Chan et al. 1983): no difference of large squares here either. The axes of
  the parts are kept with size one.
  """
  axes = tuple(axes)
  counts = jnp.broadcast_to(parts.count, parts.var.shape)
  total = counts.sum(axes, keepdims=True)
  weights = counts / jnp.maximum(total, 1)
  # Three thirds are not one, and an error of 1e-7 of a large mean is not small
  # beside a small deviation.
  shift = lax.stop_gradient((weights * parts.mean).sum(axes, keepdims=True))
  mean = shift + (weights * (parts.mean - shift)).sum(axes, keepdims=True)
  spread = parts.var + abs_square(parts.mean - mean)
  var = (weights * spread).sum(axes, keepdims=True)
  if isinstance(parts.count, jax.Array):
    return neutral_where_empty(Moments(mean, var, total))
  size = math.prod(parts.var.shape[axis] for axis in axes)
  return Moments(mean, var, number(parts.count * size, mean.shape))


def pool_devices(
  part: Moments, axis_name: str, axis_index_groups: Any = None
) -> Moments:
  """Joins the statistics of the devices along a mapped axis, by their counts.

  Weighting by counts is what makes unequal masks right: a mean of per-device
  means is not the mean of the joined batch. Each device puts its statistics
  into a slot of its own, so that one sum brings all of them to all devices.
  `axis_name` and `axis_index_groups` are those of `jax.lax.psum`.
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
  return jax.tree.map(
    lambda value: value.squeeze(0), pool(Moments(*parts), [0])
  )


def neutral_where_empty(result: Moments) -> Moments:
  """Gives entries that no value stands behind mean 0 and variance 1."""
  if not isinstance(result.count, jax.Array):
    return result
  some = result.count > 0
  return Moments(
    jnp.where(some, result.mean, 0),
    jnp.where(some, result.var, 1),
    result.count,
  )


def number(count: Any, shape: Sequence[int]) -> jax.Array | float:
  """A count; an array of this shape where a size is symbolic (`jax.export`)."""
  if isinstance(count, int | float):
    return float(count)
  return jnp.full(shape, count, jnp.float32)
