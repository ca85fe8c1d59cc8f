"""(x - mean) / std with scale and bias, and its derivative; pure functions."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from normlab.norms.core.fusion import (
  apart,
  apart_in_transpose,
  broadcast,
  once,
  size_together,
  spread,
)
from normlab.norms.core.pooling import Moments


def standardize(
  x: jax.Array,
  statistics: Moments,
  *,
  epsilon: float,
  scale: jax.Array | None = None,
  bias: jax.Array | None = None,
  correction: tuple[jax.Array, jax.Array] | None = None,
  dtype: Any = None,
) -> jax.Array:
  """y = (x - mean) / sqrt(var + epsilon) * scale + bias.

  The mean is subtracted first, not folded into the bias: x * a - mean * a would
  cancel two large numbers where the mean is large.

  Args:
    x: the values, any shape; that of the result.
    statistics: shaped to broadcast against `x`.
    epsilon: added to the variance, inside the root.
    scale: of the rank of `x`, broadcastable to it; None is one.
    bias: as `scale`; None is zero.
    correction: (r, d), shaped as the statistics: y = (x_hat * r + d) * scale +
      bias, for BatchRenorm.
    dtype: of the result; None is the joint precision of all arguments.
  """
  multiplier = lax.rsqrt(statistics.var + epsilon)
  if correction is not None:
    r, d = correction
    multiplier = multiplier * r
    shift = d if scale is None else d * scale
    bias = shift if bias is None else bias + shift
  mean = statistics.mean
  if dtype is None:
    arrays = [a for a in (x, mean, scale, bias) if a is not None]
    dtype = jnp.result_type(*arrays)
  # One factor a channel where there are few, as after BatchNorm; after a
  # LayerNorm of the last axis, one factor per position and one per channel.
  if scale is not None and size_together(multiplier, scale) < x.size:
    multiplier, scale = multiplier * scale, None
  return _affine(x, once(mean), once(multiplier), scale, bias, dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(5,))
def _affine(
  x: jax.Array,
  mean: jax.Array,
  multiplier: jax.Array,
  scale: jax.Array | None,
  bias: jax.Array | None,
  dtype: Any,
) -> jax.Array:
  """(x - mean) * multiplier * scale + bias, in the precision of `mean`."""
  y = (x - mean) * multiplier
  if scale is not None:
    y = y * scale
  if bias is not None:
    y = y + bias
  return y.astype(dtype)


@_affine.defjvp
def _affine_jvp(dtype: Any, primals: Any, tangents: Any) -> Any:
  y = _affine(*primals, dtype)
  return y, _affine_tangent(primals, tangents, dtype)


# Checkpointed, so that the backward pass is handed the arguments of the layer
# and nothing of the size of x that is computed from them.
@functools.partial(jax.checkpoint, prevent_cse=False, static_argnums=2)
def _affine_tangent(primals: Any, tangents: Any, dtype: Any) -> jax.Array:
  """One term for each reduction of the backward pass.

  Written out because the derivative of the formula as it stands has three
  reductions where two do (mean and bias share one), none of which would be
  fused with what it reduces. With x_hat = (x - mean) * multiplier,
  dy = dx * multiplier * scale + (x - mean) * scale * dmultiplier
     + x_hat * dscale + (dbias - multiplier * scale * dmean).
  """
  x, mean, multiplier, scale, _ = primals
  dx, dmean, dmultiplier, dscale, dbias = tangents
  if scale is None:
    x1, mean1, _ = apart(x, mean, multiplier)
    shift = -dmean * multiplier if dbias is None else dbias - dmean * multiplier
    terms = [(x1 - mean1) * spread(dmultiplier, x), spread(shift, x)]
    factor = multiplier
  else:
    x1, mean1, scale1 = apart(x, mean, scale)
    x2, mean2, multiplier2 = apart(x, mean, multiplier)
    scale3, multiplier3 = apart(scale, multiplier)
    terms = [
      ((x1 - mean1) * scale1) * spread(dmultiplier, x),
      -scale3 * spread(dmean * multiplier3, x),
      ((x2 - mean2) * multiplier2) * spread(dscale, x),
    ]
    if dbias is not None:
      terms.append(spread(dbias, x))
    factor = multiplier * scale
  # Each its own cast: else the backward pass writes out the cast cotangent.
  casts = [broadcast(term, x.shape, x).astype(dtype) for term in terms]
  return (dx * factor).astype(dtype) + functools.reduce(
    jnp.add, apart_in_transpose(*casts)
  )
