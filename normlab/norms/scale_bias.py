"""Scale and bias alone: the control with a norm's parameters and no norm."""

from typing import ClassVar

import jax

from normlab.norms.core import axis_fields, fields


class ScaleBias(fields.Stateless, axis_fields.FeatureAxes, fields.Affine):
  """y = x * scale + bias.

  What a network with a norm can represent that the one without cannot is partly
  due to these parameters: this layer in place of the norm tells how much.

  The fields are those of `LayerNorm`, but for those of its statistics.
  """

  # A class variable is no field: takes that of `Affine` away.
  epsilon: ClassVar[float] = 0.0

  def forward(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Scales and shifts; where the mask is False, NaN and inf count as 0."""
    del mask
    features = axis_fields.canonical_axes(self, 'feature_axes', x.ndim)
    return self.rescale(x, features)
