"""Switchable normalization (Luo et al. 2019, arXiv:1806.10779)."""

import dataclasses
import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from normlab.norms.batch import squeezed
from normlab.norms.core import fields
from normlab.norms.core.pooling import Moments, pool
from normlab.norms.core.running import BatchFields, mean_start


class SwitchableNorm(fields.Statistics, fields.Affine, BatchFields):
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

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    use_running_average: bool | None = None,
    *,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Normalizes; the arguments and errors are those of `BatchNorm`.

    Without `use_batch_norm`, `use_running_average` is ignored.
    """
    inference = self.use_batch_norm and self.uses_running_average(
      use_running_average
    )
    x, mask = self.prepare(x, mask)
    features, space = fields.space_axes(self, 'axis', x.ndim)
    reduced = [0, *space]
    # One pass over x; the other two are pooled from these few numbers.
    instance = self.moments(x, space, mask, synchronize=False)
    parts = [instance] if space else []
    parts.append(pool(instance, features))
    if self.use_batch_norm:
      batch = pool(instance, [0])
      parts.append(self.batch_statistics(batch, features, reduced, inference))
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
    """Those of the batch, which move the running ones, or in inference these.

    Args:
      batch: of this device; shaped to broadcast against the input.
      features: the axes of `batch` that are kept in the state.
      reduced: its other axes.
      inference: True takes the running statistics and leaves them.
    """
    shape = [batch.var.shape[axis] for axis in features]
    running = self.running_statistics(
      shape, mean=mean_start(batch.mean), var=jnp.ones
    )
    if inference:
      mean, var = (
        jnp.expand_dims(running[name].value, reduced)
        for name in ('mean', 'var')
      )
      return Moments(mean, var, 1.0)
    batch = self.synchronized(batch)
    new = squeezed(batch, reduced)
    self.update(running, new.count, mean=new.mean, var=new.var)
    return batch


def mixed(
  parts: Sequence[Moments], mean_weight: jax.Array, var_weight: jax.Array
) -> Moments:
  """Means and variances, weighted by the softmax of the weights.

  Args:
    parts: the statistics to mix; their shapes broadcast.
    mean_weight: [len(parts)].
    var_weight: [len(parts)].
  """
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
