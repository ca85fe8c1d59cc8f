"""Dynamic tanh (Zhu et al. 2025, arXiv:2503.10622)."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen import dtypes

from normlab.norms.core import axis_fields, fields


class DynamicTanh(fields.Stateless, axis_fields.FeatureAxes, fields.Affine):
  """y = tanh(alpha * x) * scale + bias, with one learned alpha (section 4).

  It stands in place of a LayerNorm, and has no statistics: each value is
  squashed by itself.

  Attributes:
    feature_axes: the axes that have a scale and bias of their own.
    alpha_init: initial value of `alpha`, a scalar; 0.5, the paper's. Positive.
  """

  alpha_init: float = dataclasses.field(default=0.5, kw_only=True)

  # A class variable is no field: takes that of `Affine` away.
  epsilon: ClassVar[float] = 0.0
  # The tanh of a shifted input is no shifted tanh.
  replaces_bias: ClassVar[bool] = False

  def forward(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The formula of the class, for checked input."""
    del mask
    if not 0 < self.alpha_init < float('inf'):
      raise ValueError(
        f'DynamicTanh: alpha_init={self.alpha_init!r} must be positive and '
        'finite'
      )
    alpha = self.param(
      'alpha', nn.initializers.constant(self.alpha_init), (), self.param_dtype
    )
    dtype = dtypes.canonicalize_dtype(x, alpha, dtype=self.dtype)
    # In half precision alpha * x would be rounded, and then its tanh again.
    squashed = jnp.tanh(alpha * x.astype(self.statistics_dtype(x)))
    features = axis_fields.canonical_axes(self, 'feature_axes', x.ndim)
    return self.rescale(squashed, features).astype(dtype)
