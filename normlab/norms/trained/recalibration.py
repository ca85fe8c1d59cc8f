"""Population statistics of a trained model (arXiv:1502.03167, 2105.07576).

Running averages come from few batches, and from weights that have since
changed. Here the weights are frozen, and all given data count.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np
from flax import core
from flax import linen as nn

from normlab.norms.trained import inference
from normlab.norms.trained.population import make_pass


def recalibrate(
  model: nn.Module,
  variables: core.FrozenDict[str, Any] | dict[str, Any],
  batches: Iterable[Any],
  *,
  layer_by_layer: bool = True,
  **kwargs: Any,
) -> dict[str, Any]:
  """Replaces the running statistics by those of the data, weights frozen.

  Statistics of batches are pooled exactly: mean = sum n_i mean_i / n and
  var = sum n_i (var_i + |mean_i - mean|^2) / n, the biased variance of all n
  values, whatever the sizes and masks of the batches and the norm's `unbiased`
  and `ghost_batch_size`. In inference, `BatchNorm` then does with the whole
  data in batches what training does with it in one.

  The norms are all that keep statistics of the batch: those built on
  `BatchFields`, and `flax.linen.BatchNorm`. `frozen` ones keep theirs, and all
  keep other state (`step`, `updates`, the vectors of spectral norms). Squared
  deviations of an `LpBatchNorm` are pooled as variances are: exact for a single
  batch, and for p = 2 by the convention 'gaussian'.

  Args:
    model: any model whose `variables` hold running statistics.
    variables: of the trained model; not changed.
    batches: inputs of the model; a tuple is several positional arguments. An
      iterator is read into memory where it is needed more than once.
    layer_by_layer: a norm sees activations that the ones in front of it
      normalized with their new statistics, not with those of each batch. That
      takes as many passes over the data as there are norms one behind the
      other, and one to see that nothing changes any more. False takes one
      pass, in training mode, as Algorithm 2 of 1502.03167 does.
    **kwargs: of `model.apply`, for inference, so that there is no dropout;
      train=False is the default where the model's call has such an argument.

  Returns:
    `variables` with the new statistics.

  Raises:
    ValueError: no batch; no norm with running statistics; or a norm whose mask
      is False everywhere.
  """
  variables = core.unfreeze(variables)
  if layer_by_layer and isinstance(batches, Iterator):
    batches = list(batches)
  data = make_pass(model, inference.call_arguments(model, kwargs))
  stats = data.run(variables, batches, by_batch=True)
  # Each pass settles the norms that are next to those settled before.
  most = data.number_of_norms(stats) if layer_by_layer else 1
  for _ in range(most - 1):
    previous = stats
    stats = data.run(
      {**variables, 'batch_stats': stats}, batches, by_batch=False
    )
    if same(previous, stats):
      break
  return {**variables, 'batch_stats': stats}


def has_running_statistics(
  model: nn.Module, variables: dict[str, Any], *args: Any, **kwargs: Any
) -> bool:
  """Whether `recalibrate` finds a norm; from shapes, nothing is computed.

  Args:
    model: any.
    variables: of the model, or their shapes.
    *args: of the model's call, or their shapes.
    **kwargs: as for `recalibrate`.
  """
  data = make_pass(model, inference.call_arguments(model, kwargs))
  return bool(jax.eval_shape(data.trace_records, variables, args, True))


def same(one: Any, other: Any) -> bool:
  """Whether two trees hold the same numbers; NaN is NaN."""
  pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
  return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)
