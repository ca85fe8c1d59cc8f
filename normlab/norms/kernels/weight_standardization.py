"""Weight standardization (Qiao et al. 2019, arXiv:1903.10520)."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen import dtypes

from normlab.norms.kernels import kernel_norms


class WeightStandardization(kernel_norms.KernelNorm):
  """(W - mean) / sqrt(var + epsilon), for each output over all else.

  With `scaled` it is that of NF-ResNets (2101.08692), which keeps the variance
  of activations without a norm behind the layer:
  (W - mean) / sqrt(max(var * fan_in, epsilon)) * scale, with a learned scale
  for each output, the `gain` of the authors' code.

  The variance is the biased one and epsilon is inside the root, as in the
  paper. The authors' code has neither: it divides by the root of the unbiased
  variance, plus 1e-5.

  Parameters that are not named `kernel`, or of rank 1, stay as they are. The
  scale is `<layer>/kernel/scale`, as in `WeightNorm`.

  Attributes:
    epsilon: None is 1e-5, and 1e-4 where `scaled`, as the authors have it.
    dtype: of the standardized kernel; None takes it from kernel and scale.
    param_dtype: of the scale.
    scaled: standardizes to variance 1 / fan_in, and multiplies by the scale.
    scale_init: of the scale; ones.
  """

  _: dataclasses.KW_ONLY
  epsilon: float | None = None
  dtype: Any = None
  param_dtype: Any = jnp.float32
  scaled: bool = False
  scale_init: nn.initializers.Initializer = nn.initializers.ones

  def check(self, update_stats: bool | None) -> None:
    """Rejects a negative epsilon."""
    del update_stats
    self.check_epsilon()

  def transformed(
    self, path: str, value: jax.Array, update_stats: bool | None
  ) -> jax.Array:
    """The formula of the class, for one kernel."""
    del update_stats
    w = kernel_norms.in_float32(value)
    axes = tuple(range(value.ndim - 1))
    centred = w - w.mean(axes, keepdims=True)
    var = jnp.square(centred).mean(axes, keepdims=True)
    if not self.scaled:
      epsilon = 1e-5 if self.epsilon is None else self.epsilon
      w = centred * kernel_norms.inverse_root(var + epsilon)
      return w.astype(dtypes.canonicalize_dtype(value, dtype=self.dtype))
    epsilon = 1e-4 if self.epsilon is None else self.epsilon
    fan_in = math.prod(value.shape[:-1])
    scale = self.param(
      f'{path}/scale', self.scale_init, value.shape[-1:], self.param_dtype
    )
    w = centred * kernel_norms.inverse_root(jnp.maximum(var * fan_in, epsilon))
    dtype = dtypes.canonicalize_dtype(value, scale, dtype=self.dtype)
    return (w * scale).astype(dtype)
