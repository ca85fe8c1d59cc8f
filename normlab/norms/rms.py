"""Root mean square normalization (Zhang & Sennrich 2019, arXiv:1910.07467)."""

import dataclasses
from typing import ClassVar

import jax
from flax import linen as nn

from normlab.norms.core import fields


class RMSNorm(fields.Statistics, fields.ReductionAxes, fields.Affine):
  """y = x / sqrt(E[x^2] + epsilon) * scale: LayerNorm without the centring.

  Drop-in for `flax.linen.RMSNorm`, over the last axis by default.

  Attributes:
    use_bias: adds a learned bias, which the paper's norm does not have.
    bias_init: of that bias.
  """

  _: dataclasses.KW_ONLY
  use_bias: bool = False
  bias_init: nn.initializers.Initializer = nn.initializers.zeros

  replaces_bias: ClassVar[bool] = False

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    use_running_average: bool | None = None,
    *,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Normalizes; the arguments and errors are those of `LayerNorm`."""
    del use_running_average
    x, mask = self.prepare(x, mask)
    reduced, features = self.reduction_and_feature_axes(x)
    statistics = self.moments(x, reduced, mask, center=False)
    return self.normalize(x, statistics, features)
