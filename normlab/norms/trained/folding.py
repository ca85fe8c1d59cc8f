"""Folds the trained norms of a model into its convolutions and dense layers."""

from typing import Any

from flax import core
from flax import linen as nn

from normlab.norms.trained.layer_folding import (
  NORMALIZED_KERNEL,
  Norm,
  Tree,
  fold_layer,
  foldable,
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

  Args:
    params: of the module; not changed, nor is `stats`.
    stats: its `batch_stats`.
    layer: the norm.
    folded: collects the names of the layers that norms are folded into.
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
