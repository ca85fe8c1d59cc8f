"""Mean-only batch normalization (Salimans & Kingma 2016, arXiv:1602.07868)."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from normlab.norms.batch import squeezed
from normlab.norms.core.pooling import Moments
from normlab.norms.core.running import Averaging, mean_start


class MeanOnlyBatchNorm(Averaging):
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

  def forward(
    self, x: jax.Array, mask: jax.Array | None, use_running_average: bool
  ) -> jax.Array:
    """The formula of the class, for checked input."""
    features, reduced = self.feature_and_reduction_axes(x)
    running = self.running_statistics(
      [x.shape[axis] for axis in features], mean=mean_start(x)
    )
    if use_running_average:
      (center,) = self.stored(running, reduced)
    else:
      statistics = self.moments(x, reduced, mask)
      center = statistics.mean
      batch = squeezed(statistics, reduced)
      self.update(running, batch.count, mean=batch.mean)
    unit = Moments(center, jnp.ones_like(center.real), 1.0)
    return self.normalize(x, unit, features)
