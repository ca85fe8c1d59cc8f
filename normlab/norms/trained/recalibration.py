"""Population statistics of a trained model (arXiv:1502.03167, 2105.07576).

Running averages come from few batches, and from weights that have since
changed. Here the weights are frozen, and all given data count.
"""

import functools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import core
from flax import linen as nn

from normlab.norms.core.pooling import Moments, pool
from normlab.norms.trained import inference

Path = tuple[str, ...]
# The statistics of all norms on one batch, by the path of the norm.
Records = dict[Path, Moments]

# Where a norm leaves its statistics of a batch, beside its state: what leaves a
# function that is traced (nn.scan, nn.remat) has to be a variable.
RECORD = 'statistics_of_batch'


def recalibrate(
  model: nn.Module,
  variables: core.FrozenDict[str, Any] | dict[str, Any],
  batches: Iterable[Any],
  **kwargs: Any,
) -> dict[str, Any]:
  """Replaces the running statistics by those of the data, weights frozen.

  Statistics of batches are pooled exactly: mean = sum n_i mean_i / n and
  var = sum n_i (var_i + |mean_i - mean|^2) / n, the biased variance of all n
  values, whatever the sizes and masks of the batches and the norm's `unbiased`
  and `ghost_batch_size`. In inference, `BatchNorm` then does with the whole
  data in batches what training does with it in one. A norm sees activations
  that the ones in front of it normalized with their new statistics. That takes
  as many passes over the data as there are norms one behind the other, and one
  to see that nothing changes any more.

  The norms are all that keep statistics of the batch: those built on
  `BatchFields`, and `flax.linen.BatchNorm`. `frozen` ones keep theirs, and all
  keep other state (`step`, `updates`, the vectors of spectral norms). Squared
  deviations of an `LpBatchNorm` are pooled as variances are: exact for a single
  batch, and for p = 2 by the convention 'gaussian'.

  A batch is the input of the model; a tuple is several positional arguments. An
  iterator is read into memory. Further arguments are those of `model.apply`;
  train=False is the default where the model's call has such an argument.

  Returns:
    New variables, with the new statistics.

  Raises:
    ValueError: no batch; no norm with running statistics; or a norm whose mask
      is False everywhere.
  """
  variables = core.unfreeze(variables)
  if isinstance(batches, Iterator):
    batches = list(batches)
  data = make_pass(model, inference.call_arguments(model, kwargs))
  stats = data.run(variables, batches, by_batch=True)
  # Each pass settles the norms that are next to those settled before.
  for _ in range(data.number_of_norms(stats) - 1):
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
  """Whether `recalibrate` finds a norm; nothing is computed.

  Variables and the arguments of the model's call may be shapes.
  """
  data = make_pass(model, inference.call_arguments(model, kwargs))
  return bool(jax.eval_shape(data.trace_records, variables, args, True))


def same(one: Any, other: Any) -> bool:
  """Whether two trees hold the same numbers; NaN is NaN."""
  pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
  return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


class Pass:
  """A pass of a model over the data, compiled once a shape of its batches."""

  def __init__(self, model: nn.Module, kwargs: dict[str, Any]):
    """Takes the model, and the arguments of its `apply`."""
    self.model = model
    self.kwargs = kwargs
    # By path: the norm, and the shape of its statistics. Filled while tracing.
    self.norms: dict[Path, tuple[nn.Module, tuple[int, ...]]] = {}
    self.records = jax.jit(self.trace_records)
    self.updated = jax.jit(self.trace_updated)

  def run(
    self, variables: dict[str, Any], batches: Iterable[Any], *, by_batch: bool
  ) -> Any:
    """The `batch_stats` with the statistics of the data.

    While these are taken, norms normalize `by_batch`, or else with the
    statistics in `variables`.
    """
    records = []
    for batch in batches:
      args = batch if isinstance(batch, tuple) else (batch,)
      records.append(self.records(variables, args, by_batch))
      # One batch ahead: more would have all the data on the device at once.
      jax.block_until_ready(records[-2:-1])
    self.check(records)
    stats = variables['batch_stats']
    states = {path: subtree(stats, path) for path in records[0]}
    for path, state in self.updated(states, records).items():
      stats = replaced(stats, path, state)
    return stats

  def trace_records(
    self,
    variables: dict[str, Any],
    args: tuple[Any, ...],
    by_batch: bool | jax.Array,
  ) -> Records:
    """The statistics of all norms on one batch."""
    paths = set()

    def choose(
      layer: nn.Module, state: inference.State, batch: Moments
    ) -> inference.State:
      paths.add(layer.path)
      self.norms[layer.path] = (layer.clone(parent=None), batch.var.shape)
      earlier = state.pop(RECORD, None)
      record = batch if earlier is None else joined([earlier, batch])
      layer.put_variable('batch_stats', RECORD, record)
      own = inference.written(layer, state, batch)
      return {k: jnp.where(by_batch, own[k], state[k]) for k in state}

    with inference.chosen_statistics(choose):
      _, after = self.model.apply(
        variables, *args, mutable=['batch_stats'], **self.kwargs
      )
    return {path: subtree(after['batch_stats'], path)[RECORD] for path in paths}

  def trace_updated(
    self, states: dict[Path, inference.State], records: list[Records]
  ) -> dict[Path, inference.State]:
    """The states of all norms, from their statistics on all batches."""
    return {
      path: inference.written(
        self.norms[path][0], state, joined([batch[path] for batch in records])
      )
      for path, state in states.items()
    }

  def check(self, records: list[Records]) -> None:
    """Raises ValueError where there is nothing to make statistics of."""
    if not records:
      raise ValueError('recalibrate: batches holds no batch; give at least one')
    if not records[0]:
      raise ValueError(
        f'recalibrate: variables hold no running statistics of a norm of '
        f'{type(self.model).__name__} that is not frozen'
      )
    for path in records[0]:
      if not any(np.any(batch[path].count) for batch in records):
        raise ValueError(
          f'recalibrate: norm {"/".join(path)!r} has not seen a value: its '
          'mask is False everywhere in all batches'
        )

  def number_of_norms(self, stats: Any) -> int:
    """How many norms there are, of scanned layers each."""
    return sum(
      max(np.size(v) for v in subtree(stats, path).values()) // math.prod(shape)
      for path, (_, shape) in self.norms.items()
    )


def make_pass(model: nn.Module, kwargs: dict[str, Any]) -> Pass:
  """A pass; the same object, and programs, for equal arguments."""
  try:
    return cached_pass(model, tuple(sorted(kwargs.items())))
  except TypeError:  # Not hashable: a model with a list among its fields, say.
    return Pass(model, kwargs)


@functools.lru_cache(maxsize=8)
def cached_pass(model: nn.Module, items: tuple[tuple[str, Any], ...]) -> Pass:
  """A pass, by what can be hashed."""
  return Pass(model, dict(items))


def joined(parts: list[Moments]) -> Moments:
  """Statistics of the union of disjoint parts."""
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
  return jax.tree.map(lambda leaf: leaf[0], pool(stacked, [0]))


def subtree(tree: Any, path: Path) -> Any:
  """What lies at this path of nested dicts."""
  return functools.reduce(lambda inner, name: inner[name], path, tree)


def replaced(tree: Any, path: Path, value: Any) -> Any:
  """A copy of nested dicts with `value` at this path."""
  if not path:
    return value
  name, *rest = path
  return {**tree, name: replaced(tree[name], tuple(rest), value)}
