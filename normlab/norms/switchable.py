"""Switchable normalization (Luo et al. 2019, arXiv:1806.10779)."""

import dataclasses
import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from normlab.norms.batch import squeezed
from normlab.norms.core import axis_fields
from normlab.norms.core.pooling import Moments, pool
from normlab.norms.core.running import Averaging, mean_start


class SwitchableNorm(Averaging):
  """Learns to mix the statistics of InstanceNorm, LayerNorm and BatchNorm.

  y = (x - sum_k w_k mean_k) / sqrt(sum_k u_k var_k + epsilon) * scale + bias,
  with w = softmax(mean_weight) and u = softmax(var_weight), k over instance
  (space of one example), layer (its channels too) and batch (batch and space).
  The weights, ones at first, are in this order.

  Vectors [batch, features] have no space and so no instance statistics, and as
  in the authors' code two weights only.

  The fields are those of `BatchNorm`, and keyword-only ones. State, in
  `batch_stats`: `mean` and `var` of the batch statistics, float32.
  `axis_name` joins the batch statistics only.

  Attributes:
    use_batch_norm: False leaves out the batch statistics, their weights and the
      state.
  """

  epsilon: float = 1e-5
  use_batch_norm: bool = dataclasses.field(default=True, kw_only=True)

  def uses_running_average(self, argument: bool | None) -> bool:
    """As of `BatchNorm`; without batch statistics nobody need say."""
    return self.use_batch_norm and super().uses_running_average(argument)

  def forward(
    self, x: jax.Array, mask: jax.Array | None, use_running_average: bool
  ) -> jax.Array:
    """The formula of the class, for checked input."""
    features, space = axis_fields.space_axes(self, 'axis', x.ndim)
    reduced = [0, *space]
    # One pass over x; the other two are pooled from these few numbers.
    instance = self.moments(x, space, mask, synchronize=False)
    parts = [instance] if space else []
    parts.append(pool(instance, features))
    if self.use_batch_norm:
      batch = pool(instance, [0])
      parts.append(
        self.batch_statistics(batch, features, reduced, use_running_average)
      )
    mean_weight, var_weight = (
      self.param(name, nn.initializers.ones, (len(parts),), self.param_dtype)
      for name in ('mean_weight', 'var_weight')
    )
    return self.normalize(x, mixed(parts, mean_weight, var_weight), features)

  def batch_statistics(
    self,
    batch: Moments,
    features: Sequence[int],
    reduced: Sequence[int],
    inference: bool,
  ) -> Moments:
    """The running statistics in `inference`, else those of this `batch`.

    The latter, of all devices, move the running ones.
    """
    shape = [batch.var.shape[axis] for axis in features]
    running = self.running_statistics(
      shape, mean=mean_start(batch.mean), var=jnp.ones
    )
    if inference:
      mean, var = self.stored(running, reduced)
      return Moments(mean, var, 1.0)
    batch = self.synchronized(batch)
    new = squeezed(batch, reduced)
    self.update(running, new.count, mean=new.mean, var=new.var)
    return batch


def mixed(
  parts: Sequence[Moments], mean_weight: jax.Array, var_weight: jax.Array
) -> Moments:
  """Means and variances, weighted by the softmax of weights [len(parts)]."""
  # In half precision the weights would not add up to one.
  precision = parts[0].var.dtype
  mean_weight = jax.nn.softmax(mean_weight.astype(precision))
  var_weight = jax.nn.softmax(var_weight.astype(precision))
  first, *others = parts
  # Even a sum of 1 - 1e-7 would take 1e-3 from a mean of 1e4: weighted are the
  # differences of the means, which are small.
  mean = first.mean + sum(
    weight * (part.mean - first.mean)
    for weight, part in zip(mean_weight[1:], others, strict=True)
  )
  variances = (
    weight * part.var for weight, part in zip(var_weight, parts, strict=True)
  )
  var = functools.reduce(operator.add, variances)
  return Moments(mean, var, 1.0)
