"""Statistics of all norms of a model on a data set: a pass over the data."""

import functools
import math
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from normlab.norms.core.pooling import Moments, pool
from normlab.norms.trained import inference

Path = tuple[str, ...]
# The statistics of all norms on one batch, by the path of the norm.
Records = dict[Path, Moments]

# Where a norm leaves its statistics of a batch, beside its state: what leaves a
# function that is traced (nn.scan, nn.remat) has to be a variable.
RECORD = 'statistics_of_batch'


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

    Args:
      variables: of the model; not changed.
      batches: its inputs.
      by_batch: normalizes with the statistics of each batch while these are
        taken, else with those in `variables`.
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
  """The value at this path of nested dicts."""
  return functools.reduce(lambda inner, name: inner[name], path, tree)


def replaced(tree: Any, path: Path, value: Any) -> Any:
  """A copy of nested dicts with `value` at this path."""
  if not path:
    return value
  name, *rest = path
  return {**tree, name: replaced(tree[name], tuple(rest), value)}
