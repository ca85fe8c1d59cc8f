"""Folds a trained norm into the convolution or dense layer in front of it.

In inference, y = (x W + b - mean) / sqrt(var + epsilon) * scale + bias is one
affine map of x: with m = scale / sqrt(var + epsilon), the kernel W m and the
bias (b - mean) m + bias.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from normlab.norms import inference
from normlab.norms.batch import BatchNorm
from normlab.norms.lp import LpBatchNorm
from normlab.norms.mean_only import MeanOnlyBatchNorm
from normlab.norms.renorm import BatchRenorm

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


def fold(variables: Mapping[str, Any], norm: Norm) -> Tree:
  """The variables of the same model without norms, with the same inference.

  `model.clone(norm=None).apply(fold(variables, norm), x, train=False)` equals
  `model.apply(variables, x, train=False)` up to rounding, where the mean of a
  channel is not much larger than its deviation: there the two large terms of
  the new bias and x W, rounded, no longer cancel to the digit.

  Folded are norms named 'norm' beside exactly one layer with a kernel, in the
  same module, as in the models here; everything else is kept. For modules of
  other names there is `fold_layer`.

  Args:
    variables: 'params', 'batch_stats' and others, of the trained model.
    norm: the model's factory of norms, or one of its norms: it says epsilon.

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
  variables = flax.core.unfreeze(variables)
  folded: list[str] = []
  params, stats = fold_module(
    variables['params'], variables.get('batch_stats', {}), layer, folded
  )
  if not folded:
    raise ValueError(
      "fold: the variables hold no module with a norm, named 'norm', beside "
      'one layer with a kernel; use fold_layer for layers of other names'
    )
  others = {k: v for k, v in variables.items() if k != 'batch_stats'}
  return {
    **others,
    'params': params,
    **({'batch_stats': stats} if stats else {}),
  }


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
    None if value is None else np.asarray(value, np.float64)
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
  layer = norm
  if not isinstance(norm, nn.Module) and callable(norm):
    layer = norm()
  name = type(layer).__name__
  if not isinstance(layer, tuple(FOLDABLE)):
    known = sorted({kind.__name__ for kind in FOLDABLE})
    raise ValueError(
      f'{name}: cannot be folded, since in inference it is not one affine map '
      f'with running statistics; norms that can are {", ".join(known)}'
    )
  if getattr(layer, 'noise_in_inference', False):
    raise ValueError(
      f'{name}: noise_in_inference=True must be False to fold the norm'
    )
  return layer


def fold_module(
  params: Tree, stats: Tree, layer: nn.Module, folded: list[str]
) -> tuple[Tree, Tree]:
  """Folds the norms of one module and of those within it.

  Args:
    params: of the module.
    stats: its `batch_stats`.
    layer: the norm.
    folded: collects the names of the layers that norms are folded into.
  """
  fronts = [
    name
    for name, value in params.items()
    if name != 'norm' and isinstance(value, dict) and 'kernel' in value
  ]
  has_norm = 'norm' in params or 'norm' in stats
  if has_norm and len(fronts) == 1:
    (front,) = fronts
    refuse_kernel_norm(front, params, stats)
    folded.append(front)
    new = fold_layer(
      params[front], params.get('norm', {}), stats.get('norm', {}), layer
    )
    params = {k: v for k, v in params.items() if k != 'norm'} | {front: new}
    stats = {k: v for k, v in stats.items() if k != 'norm'}
  params, stats = dict(params), dict(stats)
  for name in [k for k, v in params.items() if isinstance(v, dict)]:
    params[name], inner = fold_module(
      params[name], stats.get(name, {}), layer, folded
    )
    if inner:
      stats[name] = inner
    else:
      stats.pop(name, None)
  return params, stats


def refuse_kernel_norm(front: str, params: Tree, stats: Tree) -> None:
  """Raises ValueError where `front` is wrapped in a norm of its kernel.

  Such a wrapper has variables named by the path of what it normalizes, as in
  'conv/kernel/scale'.
  """
  for tree in (params, stats):
    for name, value in tree.items():
      if isinstance(value, dict) and any(
        key.startswith(f'{front}/') for key in value
      ):
        raise ValueError(
          f'fold: the kernel of {front!r} is normalized by {name!r}; put the '
          'normalized kernel in its place first, and leave out that norm'
        )


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
      f'{name}: the layer in front has the parameters '
      f"{sorted(layer_params)}; must be 'kernel' and perhaps 'bias'"
    )
  wanted = {p for p in ('scale', 'bias') if getattr(layer, f'use_{p}')}
  needed = next(v for k, v in FOLDABLE.items() if isinstance(layer, k))
  if set(norm_params) != wanted or not set(needed) <= set(norm_stats):
    raise ValueError(
      f'{name}: the variables hold {sorted(norm_params)} and the statistics '
      f'{sorted(norm_stats)}; must be {sorted(wanted)} and {sorted(needed)}'
    )
  if layer.axis not in (-1, (-1,), [-1]):
    raise ValueError(
      f'{name}: axis={layer.axis!r} must be -1 to fold, the features of the '
      'layer in front'
    )
  shape = jax.numpy.shape(norm_stats['mean'])
  kernel = jax.numpy.shape(layer_params['kernel'])
  if kernel[-1:] != shape:
    raise ValueError(
      f'{name}: statistics of shape {shape} must be those of the outputs, the '
      f'last axis of the kernel of shape {kernel}'
    )
