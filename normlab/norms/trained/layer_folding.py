"""One layer that does what a layer and its trained norm do in inference.

(x W + b - mean) / sqrt(var + epsilon) * scale + bias is one affine map of x:
with m = scale / sqrt(var + epsilon), the kernel W m and the bias
(b - mean) m + bias.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from normlab.norms.batch import BatchNorm
from normlab.norms.lp import LpBatchNorm
from normlab.norms.mean_only import MeanOnlyBatchNorm
from normlab.norms.renorm import BatchRenorm
from normlab.norms.trained import inference

Tree = dict[str, Any]
Norm = nn.Module | Callable[..., nn.Module]

# What each needs of its state.
FOLDABLE: dict[type[nn.Module], tuple[str, ...]] = {
  BatchNorm: ('mean', 'var'),
  BatchRenorm: ('mean', 'std'),
  LpBatchNorm: ('mean', 'deviation'),
  MeanOnlyBatchNorm: ('mean',),
  nn.BatchNorm: ('mean', 'var'),
}
NORMALIZED_KERNEL = (
  'normalizes the kernel, which can then not be folded into; put the '
  'normalized kernel in its place and leave out that norm first'
)


def fold_layer(
  layer_params: Mapping[str, Any],
  norm_params: Mapping[str, Any],
  norm_stats: Mapping[str, Any],
  norm: Norm,
) -> Tree:
  """The parameters of a layer that does what it and its norm do in inference.

  Args:
    layer_params: `kernel`, [..., in, out], and perhaps `bias`, [out].
    norm_params: `scale` and `bias` of the norm, as far as it has them.
    norm_stats: its state in `batch_stats`.
    norm: the norm, or a factory of it.

  Returns:
    `kernel` and `bias`, computed in float64, in the dtype of the kernel.

  Raises:
    ValueError: a norm that cannot be folded, or variables that are not of such
      a norm or layer.
  """
  layer = foldable(norm)
  check_variables(layer, layer_params, norm_params, norm_stats)
  kernel, front_bias, scale, bias = (
    np.asarray(value, np.float64)
    for value in (
      layer_params['kernel'],
      layer_params.get('bias', 0),
      norm_params.get('scale', 1),
      norm_params.get('bias', 0),
    )
  )
  stats = {k: np.asarray(v, np.float64) for k, v in norm_stats.items()}
  mean, var = inference.read(layer, stats)
  multiplier = scale / np.sqrt(var + layer.epsilon)
  dtype = jnp.asarray(layer_params['kernel']).dtype
  return {
    'kernel': jnp.asarray(kernel * multiplier, dtype),
    'bias': jnp.asarray((front_bias - mean) * multiplier + bias, dtype),
  }


def foldable(norm: Norm) -> nn.Module:
  """The norm, made by its factory if `norm` is one.

  Raises:
    ValueError: one that is not the same affine map for every example.
  """
  if getattr(norm, 'kernel_norm', None) is not None:
    raise ValueError(f'fold: {norm!r} {NORMALIZED_KERNEL}')
  if norm is None:
    raise ValueError('fold: norm=None; the model has no norm of activations')
  is_factory = not isinstance(norm, nn.Module) and callable(norm)
  layer = norm() if is_factory else norm
  if not isinstance(layer, tuple(FOLDABLE)):
    known = sorted({kind.__name__ for kind in FOLDABLE})
    raise ValueError(
      f'fold: {type(layer).__name__} cannot be folded into the layer in front; '
      f'norms that can: {", ".join(known)}'
    )
  return layer


def check_variables(
  layer: nn.Module,
  layer_params: Mapping[str, Any],
  norm_params: Mapping[str, Any],
  norm_stats: Mapping[str, Any],
) -> None:
  """Raises ValueError where these are not a plain layer and this norm."""
  name = type(layer).__name__
  if not {'kernel'} <= set(layer_params) <= {'kernel', 'bias'}:
    raise ValueError(
      f'fold: the layer in front of {name} has parameters '
      f"{sorted(layer_params)}; they must be 'kernel' and perhaps 'bias'"
    )
  params = {p for p in ('scale', 'bias') if getattr(layer, f'use_{p}')}
  needed = next(v for k, v in FOLDABLE.items() if isinstance(layer, k))
  if set(norm_params) != params or not set(needed) <= set(norm_stats):
    raise ValueError(
      f'fold: {name} with parameters {sorted(norm_params)} and statistics '
      f'{sorted(norm_stats)} must have {sorted(params)} and {sorted(needed)}; '
      'is it the norm of this model?'
    )
  if layer.axis not in (-1, (-1,), [-1]):
    raise ValueError(
      f'fold: {name} with axis={layer.axis!r} must have axis=-1, the outputs '
      'of the layer in front'
    )
  kernel, mean = np.shape(layer_params['kernel']), np.shape(norm_stats['mean'])
  if kernel[-1:] != mean:
    raise ValueError(
      f'fold: {name} with statistics of shape {mean} must have those of the '
      f'outputs, the last axis of the kernel of shape {kernel}'
    )
