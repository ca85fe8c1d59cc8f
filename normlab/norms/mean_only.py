"""Mean-only batch normalization (Salimans & Kingma 2016, arXiv:1602.07868)."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from normlab.norms.batch import squeezed
from normlab.norms.core import fields
from normlab.norms.core.pooling import Moments
from normlab.norms.core.running import BatchFields, mean_start


class MeanOnlyBatchNorm(fields.Statistics, fields.Affine, BatchFields):
  """y = x - E[x] + bias, E over the batch (section 4 of the paper).

  Made for weight-normalized layers, which fix the scale themselves. The
  gradient for x is g - E[g].

  The fields are those of `BatchNorm`, but for its own keyword-only ones and
  `epsilon`, `use_scale`, `scale_init`, `use_fast_variance`: nothing is divided.
  State, in `batch_stats`: `mean`, float32.
  """

  # Class variables are no constructor fields: these take the fields of the
  # bases away.
  epsilon: ClassVar[float] = 0.0
  use_scale: ClassVar[bool] = False
  scale_init: ClassVar[None] = None
  use_fast_variance: ClassVar[bool] = True

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    use_running_average: bool | None = None,
    *,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Centres `x`; the arguments and errors are those of `BatchNorm`."""
    use_running_average = self.uses_running_average(use_running_average)
    x, mask = self.prepare(x, mask)
    features, reduced = self.feature_and_reduction_axes(x)
    running = self.running_statistics(
      [x.shape[axis] for axis in features], mean=mean_start(x)
    )
    if use_running_average:
      center = jnp.expand_dims(running['mean'].value, reduced)
    else:
      statistics = self.moments(x, reduced, mask)
      center = statistics.mean
      batch = squeezed(statistics, reduced)
      self.update(running, batch.count, mean=batch.mean)
    unit = Moments(center, jnp.ones_like(center.real), 1.0)
    return self.normalize(x, unit, features)
