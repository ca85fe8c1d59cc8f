"""Filter response normalization (Singh & Krishnan 2020, arXiv:1911.09737)."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen import dtypes

from normlab.norms.core import axis_fields, fields
from normlab.norms.core.fusion import broadcast

# The paper's initial value of the learned epsilon.
LEARNED_EPSILON = 1e-4


class ThresholdedLinearUnit(fields.CheckedInput):
  """z = max(x, threshold): a ReLU with a learned threshold per channel.

  Attributes:
    feature_axes: the axes that have a threshold of their own.
    dtype: of the result; None takes it from the input and the threshold.
    param_dtype: of `threshold`, the paper's tau.
    threshold_init: of the threshold; zeros, which is ReLU.
  """

  _: dataclasses.KW_ONLY
  feature_axes: axis_fields.Axes = -1
  dtype: Any = None
  param_dtype: Any = jnp.float32
  threshold_init: nn.initializers.Initializer = nn.initializers.zeros

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Applies the threshold to [batch, ..., features].

    Raises:
      ValueError: a bad field, or an input without values.
      TypeError: integer or complex input.
    """
    x, _ = self.prepare(x, None)
    fields.refuse_complex(type(self).__name__, x)
    features = axis_fields.canonical_axes(self, 'feature_axes', x.ndim)
    threshold = self.param(
      'threshold',
      self.threshold_init,
      [x.shape[axis] for axis in features],
      self.param_dtype,
    )
    dtype = dtypes.canonicalize_dtype(x, threshold, dtype=self.dtype)
    others = [axis for axis in range(x.ndim) if axis not in features]
    threshold = jnp.expand_dims(threshold, others)
    # JAX (0.12.0) cannot transpose a maximum whose sides are sharded otherwise.
    return jnp.maximum(x, broadcast(threshold, x.shape, x)).astype(dtype)


class FilterResponseNorm(
  fields.Stateless, fields.Statistics, axis_fields.FeatureAxes, fields.Affine
):
  """y = max(x / sqrt(E[x^2] + epsilon) * scale + bias, tau), E over space.

  Norm and activation in one, without centring and independent of the batch. On
  vectors [batch, features] every value is its own mean, and what remains is
  nearly its sign: there the paper learns epsilon.

  Attributes:
    feature_axes: the axes that have statistics, scale and bias of their own;
      all but these and the first are reduced.
    use_tlu: applies `ThresholdedLinearUnit`, the submodule `tlu`.
    threshold_init: of its threshold; zeros.
    learn_epsilon: adds |learned_epsilon|, a scalar parameter that starts at
      1e-4. `epsilon` stays below it, so that the root never comes to zero.
  """

  _: dataclasses.KW_ONLY
  use_tlu: bool = True
  threshold_init: nn.initializers.Initializer = nn.initializers.zeros
  learn_epsilon: bool = False

  replaces_bias: ClassVar[bool] = True

  @property
  def replaces_activation(self) -> bool:
    """Whether a model leaves out the activation that follows."""
    return self.use_tlu

  def forward(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The formula of the class, for checked input."""
    features, space = axis_fields.space_axes(self, 'feature_axes', x.ndim)
    statistics = self.moments(x, space, mask, center=False)
    if self.learn_epsilon:
      learned = self.param(
        'learned_epsilon',
        nn.initializers.constant(LEARNED_EPSILON),
        (),
        self.param_dtype,
      )
      statistics = statistics._replace(var=statistics.var + jnp.abs(learned))
    y = self.normalize(x, statistics, features)
    if not self.use_tlu:
      return y
    return ThresholdedLinearUnit(
      feature_axes=features,
      dtype=self.dtype,
      param_dtype=self.param_dtype,
      threshold_init=self.threshold_init,
      name='tlu',
    )(y)
