"""Evolved normalization-activation layers (Liu et al. 2020, arXiv:2004.02967).

Norm and activation in one; the output is not centred. Where no activation
follows, the paper does not normalize at all: use `ScaleBias` there.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen import dtypes
from jax import lax

from normlab.norms.batch import squeezed
from normlab.norms.core import axis_fields, fields
from normlab.norms.core.fusion import broadcast
from normlab.norms.core.pooling import Moments, pool
from normlab.norms.core.running import Averaging
from normlab.norms.group import Groups, pool_groups, spread_groups


class EvoNormB0(Averaging):
  """y = x / max(std_batch, v * x + std_instance) * scale + bias.

  Both deviations are sqrt(var + epsilon); the first, over batch and space, is
  the running one in inference, the second, over the space of one example, never
  is. State, in `batch_stats`: `var`, float32, biased as that of `BatchNorm`.

  Beside scale and bias there is a parameter `v` per channel, ones. The fields
  are those of `BatchNorm`. `axis_name` joins the batch variance only.
  """

  epsilon: float = 1e-3

  # The bias comes after the nonlinearity.
  replaces_bias: ClassVar[bool] = False
  replaces_activation: ClassVar[bool] = True

  def forward(
    self, x: jax.Array, mask: jax.Array | None, use_running_average: bool
  ) -> jax.Array:
    """The formula of the class, for checked input."""
    fields.refuse_complex('EvoNormB0', x)
    features, space = axis_fields.space_axes(self, 'axis', x.ndim)
    reduced = [0, *space]
    shape = [x.shape[axis] for axis in features]
    running = self.running_statistics(shape, var=jnp.ones)
    instance = self.moments(x, space, mask, synchronize=False)
    if use_running_average:
      (batch_var,) = self.stored(running, reduced)
    else:
      statistics = self.synchronized(pool(instance, [0]))
      batch_var = statistics.var
      batch = squeezed(statistics, reduced)
      self.update(running, batch.count, var=batch.var)

    v = self.param('v', nn.initializers.ones, shape, self.param_dtype)
    dtype = dtypes.canonicalize_dtype(x, v, dtype=self.dtype)
    x = x.astype(self.statistics_dtype(x))
    batch_std, instance_std = (
      jnp.sqrt(a + self.epsilon) for a in (batch_var, instance.var)
    )
    # JAX (0.12.0) cannot transpose a maximum whose sides are sharded otherwise.
    batch_std = broadcast(batch_std, x.shape, x)
    x /= jnp.maximum(batch_std, jnp.expand_dims(v, reduced) * x + instance_std)
    return self.rescale(x, features).astype(dtype)


class EvoNormS0(fields.Stateless, fields.Statistics, fields.Affine, Groups):
  """y = x * sigmoid(v * x) / sqrt(var_group + epsilon) * scale + bias.

  The variance is that of `GroupNorm`: over the space and a group of channels of
  one example. Beside scale and bias there is a parameter `v` per channel, ones.
  The fields are those of `GroupNorm`, without `reduction_axes`.
  """

  epsilon: float = 1e-5

  # The bias comes after the nonlinearity.
  replaces_bias: ClassVar[bool] = False
  replaces_activation: ClassVar[bool] = True

  def forward(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The formula of the class, for checked input."""
    fields.refuse_complex('EvoNormS0', x)
    channel = x.ndim - 1
    groups = self.groups_of(x.shape[channel])
    per_channel = self.moments(x, range(1, channel), mask, synchronize=False)
    statistics = spread_groups(
      self.synchronized(pool_groups(per_channel, groups)), x.shape[channel]
    )
    v = self.param('v', nn.initializers.ones, x.shape[-1:], self.param_dtype)
    dtype = dtypes.canonicalize_dtype(x, v, dtype=self.dtype)
    x = x.astype(self.statistics_dtype(x))
    uncentred = Moments(jnp.zeros_like(statistics.var), statistics.var, 1.0)
    y = self.normalize(x * lax.logistic(v * x), uncentred, [channel])
    return y.astype(dtype)
