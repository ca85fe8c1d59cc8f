"""Scale and bias alone: the control with a norm's parameters and no norm."""

from typing import ClassVar

import jax
from flax import linen as nn

from normlab.norms.core import axis_fields, fields


class ScaleBias(fields.CheckedInput, axis_fields.FeatureAxes, fields.Affine):
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
    """Scales and shifts each channel.

    Args:
      x: [batch, ..., features], or features along `feature_axes`.
      use_running_average: ignored; accepted so that all norms are called alike.
      mask: boolean, broadcastable to `x`; where it is False, NaN and infinity
        count as 0.

    Returns:
      The shape of `x`.

    Raises:
      ValueError: a bad field, mask or shape; names it and what is allowed.
      TypeError: integer input.
    """
    del use_running_average
    x, _ = self.prepare(x, mask)
    features = axis_fields.canonical_axes(
      'ScaleBias', 'feature_axes', x.ndim, self.feature_axes
    )
    return self.rescale(x, features)
