"""(x - mean) / std with scale and bias: one fused pass over x; pure function."""

import jax
from jax import lax

from normlab.norms.moments import Moments


def standardize(
  x: jax.Array,
  statistics: Moments,
  *,
  epsilon: float,
  scale: jax.Array | None = None,
  bias: jax.Array | None = None,
) -> jax.Array:
  """y = (x - mean) / sqrt(var + epsilon) * scale + bias.

  The mean is subtracted first, not folded into the bias: x * a - mean * a would
  cancel two large numbers where the mean is large.

  Args:
    x: the values, any shape.
    statistics: shaped to broadcast against `x`.
    epsilon: added to the variance, inside the root.
    scale: broadcastable to `x`; None is one.
    bias: broadcastable to `x`; None is zero.

  Returns:
    The shape of `x`, in the joint precision of all arguments.
  """
  multiplier = lax.rsqrt(statistics.var + epsilon)
  if scale is not None:
    multiplier = multiplier * scale
  y = (x - statistics.mean) * multiplier
  return y if bias is None else y + bias
