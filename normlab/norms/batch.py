"""Batch normalization (Ioffe & Szegedy 2015, arXiv:1502.03167)."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from normlab.norms import fields
from normlab.norms.moments import Moments, running_average


class BatchFields(nn.Module):
  """Fields of the norms that share statistics across the batch.

  Attributes:
    use_running_average: normalizes with the running statistics (inference)
      instead of the batch's; given here or in the call, not in both.
    axis: the feature axis or axes; all others are reduced.
    momentum: share of the old value that a running statistic keeps at an
      update.
  """

  use_running_average: bool | None = None
  axis: fields.Axes = -1
  momentum: float = 0.99

  def feature_and_reduction_axes(
    self, x: jax.Array
  ) -> tuple[list[int], list[int]]:
    """The axes of `x` that have statistics of their own, and all others."""
    features = fields.canonical_axes(
      type(self).__name__, 'axis', x.ndim, self.axis
    )
    return features, [a for a in range(x.ndim) if a not in features]

  def uses_running_average(self, argument: bool | None) -> bool:
    """The call's `use_running_average`, or else the constructor's.

    Raises:
      ValueError: given in neither or both, or a momentum outside [0, 1].
    """
    name = type(self).__name__
    if not 0 <= self.momentum <= 1:
      raise ValueError(
        f'{name}: momentum={self.momentum!r} must lie between 0 and 1'
      )
    if (argument is None) == (self.use_running_average is None):
      where = 'neither' if argument is None else 'both'
      raise ValueError(
        f'{name}: use_running_average is given in {where} of constructor '
        f'(use_running_average={self.use_running_average!r}) and call '
        f'(use_running_average={argument!r}); give it in one: False to train, '
        'True for inference'
      )
    return self.use_running_average if argument is None else argument


class BatchNorm(
  fields.Statistics,
  fields.Affine,
  BatchFields,
):
  """y = (x - E[x]) / sqrt(Var[x] + epsilon) * scale + bias, E over the batch.

  Drop-in for `flax.linen.BatchNorm`: the same fields, parameters (`scale`,
  `bias`), collection (`batch_stats` with `mean` and `var`, float32) and
  defaults. The running variance is the biased one, as there.
  """

  epsilon: float = 1e-5

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    use_running_average: bool | None = None,
    *,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Normalizes with the statistics of the batch, or with the running ones.

    Args:
      x: [batch, ..., features], or features along `axis`.
      use_running_average: True for inference.
      mask: boolean, broadcastable to `x`; False values do not count.

    Returns:
      The shape of `x`.

    Raises:
      ValueError: a bad field, mask or shape; names it and what is allowed.
      TypeError: integer input.
    """
    use_running_average = self.uses_running_average(use_running_average)
    x, mask = self.prepare(x, mask)
    features, reduced = self.feature_and_reduction_axes(x)
    shape = [x.shape[axis] for axis in features]
    dtype = jnp.float32 if self.force_float32_reductions else self.param_dtype
    mean = self.variable('batch_stats', 'mean', jnp.zeros, shape, dtype)
    var = self.variable('batch_stats', 'var', jnp.ones, shape, dtype)
    if use_running_average:
      statistics = Moments(
        jnp.expand_dims(mean.value, reduced),
        jnp.expand_dims(var.value, reduced),
        1.0,
      )
    else:
      statistics = self.moments(x, reduced, mask)
      if not self.is_initializing():
        batch = squeezed(statistics, reduced)
        for running, value in ((mean, batch.mean), (var, batch.var)):
          running.value = running_average(
            running.value, value, self.momentum, batch.count
          )
    return self.normalize(x, statistics, features)


def squeezed(statistics: Moments, axes: list[int]) -> Moments:
  """The statistics without their reduced axes: the shape of the state."""
  count = statistics.count
  if isinstance(count, jax.Array):
    count = count.squeeze(axes)
  return Moments(
    statistics.mean.squeeze(axes), statistics.var.squeeze(axes), count
  )
