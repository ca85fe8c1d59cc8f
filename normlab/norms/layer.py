"""Layer normalization (Ba, Kiros & Hinton 2016, arXiv:1607.06450)."""

import jax

from normlab.norms.core import axis_fields, fields


class LayerNorm(
  fields.Stateless, fields.Statistics, axis_fields.ReductionAxes, fields.Affine
):
  """y = (x - E[x]) / sqrt(Var[x] + epsilon) * scale + bias, E over one example.

  Drop-in for `flax.linen.LayerNorm`, and so by default over the last axis only:
  on images that is per position. The paper's norm of a whole example is
  `LayerNorm(reduction_axes=(1, 2, 3))`, the same as `GroupNorm(num_groups=1)`.
  """

  def forward(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The formula of the class, for checked input."""
    reduced, features = self.reduction_and_feature_axes(x)
    return self.normalize(x, self.moments(x, reduced, mask), features)
