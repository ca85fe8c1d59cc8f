"""Group and instance normalization (arXiv:1803.08494, arXiv:1607.08022)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from normlab.norms.core import axis_fields, fields
from normlab.norms.core.pooling import Moments, pool

# The paper's Table 3.
DEFAULT_GROUPS = 32


class Groups(nn.Module):
  """How channels are grouped: by one of the two fields, the other None.

  The default number of groups gives way to a group size, in channels.
  """

  num_groups: int | None = DEFAULT_GROUPS
  group_size: int | None = None

  def groups_of(self, channels: int) -> int:
    """The number of groups of `channels` channels.

    Raises:
      ValueError: neither or both fields, or a number that does not divide.
    """
    num_groups = self.num_groups
    if self.group_size is not None and num_groups == DEFAULT_GROUPS:
      num_groups = None
    if (num_groups is None) == (self.group_size is None):
      raise ValueError(
        f'{type(self).__name__}: num_groups={self.num_groups!r} and '
        f'group_size={self.group_size!r}; set one of them and let the other '
        'be None'
      )
    field = 'num_groups' if self.group_size is None else 'group_size'
    size = getattr(self, field)
    if size <= 0 or channels % size:
      divisors = [d for d in range(1, channels + 1) if channels % d == 0]
      raise ValueError(
        f'{type(self).__name__}: {field}={size!r} does not divide the '
        f'{channels} channels of the input; allowed are '
        f'{", ".join(map(str, divisors))}'
      )
    return size if self.group_size is None else channels // size


class OptionalReductionAxes(nn.Module):
  """The axes of GroupNorm.

  Attributes:
    reduction_axes: the axes that share statistics, the last one included;
      None: all but the first. Give them where an example has extra batch axes.
  """

  reduction_axes: Sequence[int] | None = None


class GroupNorm(
  fields.Stateless,
  fields.Statistics,
  OptionalReductionAxes,
  fields.Affine,
  Groups,
):
  """Normalizes each example over space and over groups of channels.

  Drop-in for `flax.linen.GroupNorm`. One group is LayerNorm over all axes of an
  example, a group per channel is InstanceNorm.
  """

  def forward(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Pools the statistics of channels within groups."""
    channel = x.ndim - 1
    axes: Sequence[int] = range(1, x.ndim)
    if self.reduction_axes is not None:
      axes = axis_fields.canonical_axes(self, 'reduction_axes', x.ndim)
    if channel not in axes:
      raise ValueError(
        f'{type(self).__name__}: reduction_axes={self.reduction_axes!r} must '
        f'include the last axis, {channel}, the channels'
      )
    groups = self.groups_of(x.shape[channel])
    per_channel = self.moments(
      x, [a for a in axes if a != channel], mask, synchronize=False
    )
    # Pooling tiny per-channel statistics leaves one big pass over x, which
    # keeps its layout; reducing x reshaped to [..., group, channel] is slower.
    statistics = self.synchronized(pool_groups(per_channel, groups))
    return self.normalize(x, spread_groups(statistics, x.shape[-1]), [channel])


def pool_groups(statistics: Moments, groups: int) -> Moments:
  """Joins statistics [..., channels] within groups: [..., groups]."""

  def grouped(value: jax.Array | float) -> jax.Array | float:
    if not isinstance(value, jax.Array):
      return value
    return value.reshape(*value.shape[:-1], groups, -1)

  pooled = pool(jax.tree.map(grouped, statistics), [statistics.mean.ndim])
  count = pooled.count
  return Moments(
    pooled.mean[..., 0],
    pooled.var[..., 0],
    count[..., 0] if isinstance(count, jax.Array) else count,
  )


def spread_groups(statistics: Moments, channels: int) -> Moments:
  """Gives each channel the statistics of its group: [..., channels]."""
  repeats = channels // statistics.mean.shape[-1]
  mean, var = (
    jnp.repeat(value, repeats, axis=-1)
    for value in (statistics.mean, statistics.var)
  )
  return Moments(mean, var, statistics.count)


class InstanceNorm(
  fields.Stateless, fields.Statistics, axis_fields.FeatureAxes, fields.Affine
):
  """Normalizes each channel of each example over space.

  Drop-in for `flax.linen.InstanceNorm`. On vectors [batch, features] there is
  no space: every value is its own mean, and the result is the bias.

  Attributes:
    feature_axes: the axes that have statistics, scale and bias of their own;
      all but these and the first are reduced.
  """

  def forward(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The formula of the class, for checked input."""
    features, space = axis_fields.space_axes(self, 'feature_axes', x.ndim)
    return self.normalize(x, self.moments(x, space, mask), features)
