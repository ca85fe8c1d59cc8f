"""Statistics of the test batch mixed with those of training (arXiv:2006.16971).

Under a shift of the inputs, such as noise or blur, the running statistics
belong to another distribution, and a test batch has few examples of its own.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from normlab.norms.core.pooling import Moments
from normlab.norms.trained import inference


def apply_with_mixed_statistics(
  model: nn.Module,
  variables: Mapping[str, Any],
  *args: Any,
  source_count: float | jax.Array,
  target_count: float | jax.Array | None = None,
  **kwargs: Any,
) -> Any:
  """The model's inference on a batch, each norm with mixed statistics.

  mean = N / (N + n) mean_s + n / (N + n) mean_t, and so the variance:
  s are the running statistics, t those of the batch, which a norm sees after
  all norms in front of it have normalized with their mixture. N = 0 normalizes
  with the batch, N = infinity with the running statistics.

  Which norms take part, and that the batch's variance is biased and of the
  whole batch, is as in `recalibrate`. `BatchRenorm` and `LpBatchNorm` mix their
  squared deviations. Pure: may be used under `jax.jit`.

  `source_count` is N, how many examples the running statistics count for: a
  choice, and not the size of the training set. `target_count` is n, the number
  of examples in the batch, of one device; default: the length of the first
  argument. Give it where some are masked. The other arguments are those of
  `model.apply`, for inference; train=False is the default where the model has
  such an argument.

  Raises:
    ValueError: a negative source_count, a target_count that is not positive,
      or a model without running statistics.
  """
  if target_count is None:
    target_count = len(jax.tree.leaves(args)[0])
  # Under jit they may be arrays, which have no value yet.
  if not isinstance(source_count, jax.Array) and not source_count >= 0:
    raise ValueError(
      f'apply_with_mixed_statistics: source_count={source_count!r} must be at '
      'least 0'
    )
  if not isinstance(target_count, jax.Array) and not target_count > 0:
    raise ValueError(
      f'apply_with_mixed_statistics: target_count={target_count!r} must be '
      'positive'
    )
  called = []

  def choose(
    layer: nn.Module, state: inference.State, batch: Moments
  ) -> inference.State:
    called.append(layer.path)
    count = target_count
    if inference.is_mapped(layer.axis_name):
      count = lax.psum(
        count, layer.axis_name, axis_index_groups=layer.axis_index_groups
      )
    mixture = mixed(layer, state, batch, count / (source_count + count))
    return inference.written(layer, state, mixture)

  with inference.chosen_statistics(choose):
    y = model.apply(variables, *args, **inference.call_arguments(model, kwargs))
  if not called:
    raise ValueError(
      'apply_with_mixed_statistics: no norm of '
      f'{type(model).__name__} has running statistics in variables'
    )
  return y


def mixed(
  layer: nn.Module,
  state: inference.State,
  batch: Moments,
  share: float | jax.Array,
) -> Moments:
  """Running and batch statistics, weighted 1 - share and share."""
  mean, var = inference.read(layer, state)
  share = jnp.asarray(share, batch.var.dtype)
  return Moments(
    (1 - share) * mean + share * batch.mean,
    (1 - share) * var + share * batch.var,
    batch.count,
  )
