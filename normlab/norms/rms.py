"""Root mean square normalization (Zhang & Sennrich 2019, arXiv:1910.07467)."""

import dataclasses
from typing import ClassVar

import jax
from flax import linen as nn

from normlab.norms.core import axis_fields, fields


class RMSNorm(
  fields.Stateless, fields.Statistics, axis_fields.ReductionAxes, fields.Affine
):
  """y = x / sqrt(E[x^2] + epsilon) * scale: LayerNorm without the centring.

  Drop-in for `flax.linen.RMSNorm`, over the last axis by default.

  Attributes:
    use_bias: adds a learned bias, which the paper's norm does not have.
    bias_init: of that bias.
  """

  use_bias: bool = dataclasses.field(default=False, kw_only=True)
  bias_init: nn.initializers.Initializer = dataclasses.field(
    default=nn.initializers.zeros, kw_only=True
  )

  replaces_bias: ClassVar[bool] = False

  def forward(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The formula of the class, for checked input."""
    reduced, features = self.reduction_and_feature_axes(x)
    statistics = self.moments(x, reduced, mask, center=False)
    return self.normalize(x, statistics, features)
