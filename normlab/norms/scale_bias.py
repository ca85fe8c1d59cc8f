"""Scale and bias alone: the control with a norm's parameters and no norm."""

from typing import ClassVar

import jax
from flax import linen as nn

from normlab.norms.core import fields


class ScaleBias(fields.CheckedInput, fields.FeatureAxes, fields.Affine):
  """y = x * scale + bias.

  What a network with a norm can represent that the one without cannot is partly
  due to these parameters: this layer in place of the norm tells how much.

  The fields are those of `LayerNorm`, but for those of its statistics.
  """

  # A class variable is no field: takes that of `Affine` away.
  epsilon: ClassVar[float] = 0.0

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    use_running_average: bool | None = None,
    *,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Scales and shifts each channel; arguments and errors as of `LayerNorm`.

    Where the mask is False, NaN and infinity count as 0.
    """
    del use_running_average
    x, _ = self.prepare(x, mask)
    features = fields.canonical_axes(self, 'feature_axes', x.ndim)
    return self.rescale(x, features)
