"""Weight normalization (Salimans & Kingma 2016, arXiv:1602.07868)."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen import dtypes

from normlab.norms.core import fields
from normlab.norms.kernels import kernel_norms


class WeightNorm(kernel_norms.KernelNorm):
  """w = scale * v / sqrt(|v|^2 + epsilon): length and direction apart (eq. 2).

  Drop-in for `flax.linen.WeightNorm`: the same fields, defaults and parameters
  (v as the layer's own `kernel`, and `<layer>/kernel/scale`). It differs in
  four points: initialization stores the v of the layer's initializer as it is,
  and not divided by its length; lengths are taken in float32 at least; of a
  wrapped module only parameters are normalized, never running statistics; and
  a filter that nothing passes is an error.

  Attributes:
    epsilon: added to the squared length, so that a zero kernel stays finite.
    dtype: of the normalized kernel; None takes it from kernel and scale.
    param_dtype: of `scale`.
    use_scale: multiplies by a learned length.
    scale_init: of that length; ones. `initialize_from_data` sets it by data.
    feature_axes: the axes of the kernel that have a length of their own; -1 is
      the outputs of most layers, -2 those of a transposed `nn.ConvTranspose`,
      None gives the whole kernel one.
    variable_filter: strings; a parameter is normalized where its path, as in
      'conv/kernel', contains any of them. None or empty normalizes all.
  """

  epsilon: float = 1e-12
  dtype: Any = None
  param_dtype: Any = jnp.float32
  use_scale: bool = True
  scale_init: nn.initializers.Initializer = nn.initializers.ones
  feature_axes: fields.Axes | None = -1
  variable_filter: Iterable[str] | None = frozenset({'kernel'})

  def check(self, update_stats: bool | None) -> None:
    """Rejects a negative epsilon, and a filter that is one string."""
    del update_stats
    self.check_epsilon()
    self.require(
      'variable_filter',
      not isinstance(self.variable_filter, str),
      "be a collection of strings, such as {'kernel'}",
    )

  def selects(self, path: str, value: jax.Array) -> bool:
    """Whether the filter contains a part of the path."""
    del value
    parts = self.variable_filter
    return not parts or any(part in path for part in parts)

  def wanted(self) -> str:
    """Says what the filter is."""
    if not self.variable_filter:
      return 'a parameter'
    return f'a parameter with one of {sorted(self.variable_filter)} in its path'

  def transformed(
    self, path: str, value: jax.Array, update_stats: bool | None
  ) -> jax.Array:
    """Equation 2, for one parameter."""
    del update_stats
    features = []
    if self.feature_axes is not None:
      features = fields.canonical_axes(self, 'feature_axes', value.ndim)
    reduced = [axis for axis in range(value.ndim) if axis not in features]
    v = kernel_norms.in_float32(value)
    square = jnp.square(v).sum(reduced, keepdims=True)
    w = v * kernel_norms.inverse_root(square + self.epsilon)
    operands = [value]
    if self.use_scale:
      shape = [value.shape[axis] for axis in features]
      scale = self.param(
        f'{path}/scale', self.scale_init, shape, self.param_dtype
      )
      operands.append(scale)
      w *= scale.reshape(square.shape)
    return w.astype(dtypes.canonicalize_dtype(*operands, dtype=self.dtype))
