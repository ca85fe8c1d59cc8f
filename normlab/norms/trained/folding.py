"""Folds trained norms into the convolutions and dense layers in front.

(x W + b - mean) / sqrt(var + epsilon) * scale + bias is one affine map of x:
with m = scale / sqrt(var + epsilon), the kernel W m and the bias
(b - mean) m + bias.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import core
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


def fold(
  variables: core.FrozenDict[str, Any] | dict[str, Any], norm: Norm
) -> Tree:
  """The variables of the same model without norms, with the same inference.

  `model.clone(norm=None).apply(fold(variables, norm), x, train=False)` equals
  `model.apply(variables, x, train=False)` up to rounding, where the mean of a
  channel is not much larger than its deviation: there the two large terms of
  the new bias and x W, rounded, no longer cancel to the digit. Computed on the
  host, in float64: not for use under `jax.jit`.

  Folded are norms named 'norm' beside exactly one layer with a kernel, in the
  same module, as in the models here; everything else is kept. For modules of
  other names there is `fold_layer`.

  The norm is the model's factory of norms, or one of its norms: it has epsilon.

  Returns:
    New variables: the layers have a bias, the norms are gone, and so is
    'batch_stats' if nothing is left in it.

  Raises:
    ValueError: a norm that is not affine in inference or has other variables,
      no norm to fold, or a kernel that is itself normalized. One kernel norm
      leaves no trace in the variables, `WeightStandardization` without
      `scaled`: do not fold behind it.
  """
  layer = foldable(norm)
  variables = core.unfreeze(variables)
  folded: list[str] = []
  params, stats = fold_module(
    variables['params'], variables.get('batch_stats', {}), layer, folded
  )
  if not folded:
    raise ValueError(
      "fold: the variables hold no module with a norm, named 'norm', beside "
      'one layer with a kernel; use fold_layer for layers of other names'
    )
  variables |= {'params': params, 'batch_stats': stats}
  if not stats:
    del variables['batch_stats']
  return variables


def fold_module(
  params: Tree, stats: Tree, layer: nn.Module, folded: list[str]
) -> tuple[Tree, Tree]:
  """Folds the norms of one module and of those within it.

  Adds the names of the layers that norms are folded into to `folded`.
  """
  params, stats = dict(params), dict(stats)
  fronts = [
    name
    for name, value in params.items()
    if name != 'norm' and isinstance(value, dict) and 'kernel' in value
  ]
  if ('norm' in params or 'norm' in stats) and len(fronts) == 1:
    (front,) = fronts
    refuse_kernel_norm(front, [*params.items(), *stats.items()])
    params[front] = fold_layer(
      params[front], params.pop('norm', {}), stats.pop('norm', {}), layer
    )
    folded.append(front)
  for name, inner in params.items():
    if isinstance(inner, dict):
      params[name], left = fold_module(
        inner, stats.pop(name, {}), layer, folded
      )
      stats |= {name: left} if left else {}
  return params, stats


def refuse_kernel_norm(front: str, modules: list[tuple[str, Any]]) -> None:
  """Raises ValueError where one of the modules wraps `front`.

  Wrappers name their variables by the path of what they normalize, as in
  'conv/kernel/scale'.
  """
  for name, value in modules:
    if isinstance(value, dict) and any(
      k.startswith(f'{front}/') for k in value
    ):
      raise ValueError(f'fold: {name!r}, around {front!r}, {NORMALIZED_KERNEL}')


def fold_layer(
  layer_params: Mapping[str, Any],
  norm_params: Mapping[str, Any],
  norm_stats: Mapping[str, Any],
  norm: Norm,
) -> Tree:
  """The parameters of a layer that does what it and its norm do in inference.

  Args:
    layer_params: `kernel`, [..., in, out], and perhaps `bias`, [out].
    norm_params: `scale` and `bias`, as far as the norm has them.
    norm_stats: the norm's state in `batch_stats`.
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
