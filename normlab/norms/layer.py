"""Layer normalization (Ba, Kiros & Hinton 2016, arXiv:1607.06450)."""

import jax
from flax import linen as nn

from normlab.norms.core import fields


class LayerNorm(fields.Statistics, fields.ReductionAxes, fields.Affine):
  """y = (x - E[x]) / sqrt(Var[x] + epsilon) * scale + bias, E over one example.

  Drop-in for `flax.linen.LayerNorm`, and so by default over the last axis only:
  on images that is per position. The paper's norm of a whole example is
  `LayerNorm(reduction_axes=(1, 2, 3))`, the same as `GroupNorm(num_groups=1)`.
  """

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    use_running_average: bool | None = None,
    *,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Normalizes each example by its own statistics.

    Args:
      x: [batch, ..., features].
      use_running_average: ignored; accepted so that all norms are called alike.
      mask: boolean, broadcastable to `x`; False values do not count.

    Returns:
      The shape of `x`.

    Raises:
      ValueError: a bad field, mask or shape; names it and what is allowed.
      TypeError: integer input.
    """
    del use_running_average
    x, mask = self.prepare(x, mask)
    reduced, features = self.reduction_and_feature_axes(x)
    return self.normalize(x, self.moments(x, reduced, mask), features)
