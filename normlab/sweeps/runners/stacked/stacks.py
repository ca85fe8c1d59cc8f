"""Several runs at the same step, whose states are stacked on the devices."""

import functools
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from normlab import data
from normlab.program import metrics, training_step
from normlab.program.programs import hyperparameters
from normlab.runtime import devices
from normlab.sweeps.runners.stacked import stackable
from normlab.sweeps.runners.stacked.stacked_program import (
  AXIS,
  Stacked,
  batch_totals,
  train_steps,
)
from normlab.training import evaluation, preparation
from normlab.training.compiled_calls import CallMetrics

Tree = TypeVar('Tree')


class Stack:
  """Runs with equal programs, at the same step."""

  def __init__(
    self,
    runs: Sequence[preparation.PreparedRun],
    states: Sequence[training_step.TrainState],
  ):
    """Puts the members on the devices.

    Args:
      runs: of a group of `stackable.groups`, prepared for one device each.
    """
    self._runs = list(runs)
    configs = [r.config for r in runs]
    arguments = stackable.arguments(configs)
    hypers = [hyperparameters(config, arguments) for config in configs]
    self._mesh = mesh_of(len(runs))
    self.state = Stacked(
      self._put(stacked(jax.device_get(list(states)))),
      self._put(np.ones(self._size, bool)),
    )
    self._best: training_step.TrainState | None = None
    self._hyper = self._put(stacked(hypers))
    self._keys = self._put(jnp.stack(self._padded([r.key for r in runs])))
    orders = [preparation.keys(r.config).order for r in self._padded(runs)]
    feed = runs[0].feed.on_mesh(self._mesh)
    self._data = feed.reordered(self._put(jnp.stack(orders)))
    self._standardizer = devices.replicate(runs[0].standardizer, self._mesh)
    self._program = runs[0].program

  def run_steps(self, first: int, count: int) -> CallMetrics:
    """Makes `count` updates of each member from step `first` (from 0).

    Returns:
      [members, steps]; meaningless from a loss on that is not finite.
    """
    rates = [r.learning_rates.of(first, count) for r in self._runs]
    self.state, means = train_steps(
      self.state,
      self._data.inputs(first, count),
      self._standardizer,
      self._hyper.with_rates(np.stack(self._padded(rates))),
      self._keys,
      program=self._program,
      mesh=self._mesh,
    )
    return means

  def member(self, i: int) -> training_step.TrainState:
    """The state of a member, on the host."""
    return jax.device_get(_member(self.state.state, i))

  def keep_best(self, improved: Sequence[bool]) -> None:
    """Keeps a copy of the states of these members, for `best`."""
    if self._best is None:
      self._best = _copy(self.state.state)
    flags = self._put(np.array(self._padded(improved)))
    self._best = _chosen(flags, self.state.state, self._best)

  def best(self, i: int) -> training_step.TrainState:
    """The state that was kept last of a member, on the host."""
    return jax.device_get(_member(self._best, i))

  def evaluate(self, feed: Any, split: str) -> list[dict[str, Any]]:
    """The row of each member, as `evaluation.evaluate` returns it."""
    run = self._runs[0]._replace(feed=feed)
    state = self.state.state
    sums = evaluation.column_totals(
      run,
      split,
      evaluation.columns_of(
        run.config.eval_statistics, has_average=state.ema is not None
      ),
      network_of=functools.partial(self._networks, feed),
      count=self._totals,
    )
    return [
      evaluation.summarized(jax.tree.map(lambda x, i=i: x[i], sums))
      for i in range(len(self._runs))
    ]

  def _networks(
    self, feed: Any, statistics: str, *, ema: bool
  ) -> evaluation.Variables:
    if statistics != 'recalibrated':
      state = self.state.state
      return evaluation.variables(self._runs[0], state, statistics, ema=ema)
    networks = [
      evaluation.variables(
        run._replace(feed=feed), self.member(i), statistics, ema=ema
      )
      for i, run in enumerate(self._runs)
    ]
    return self._put(stacked(jax.device_get(networks)))

  def _totals(
    self,
    networks: evaluation.Variables,
    batch: data.Examples,
    valid: jax.Array,
    *,
    by_batch: bool,
  ) -> metrics.Totals:
    batch, valid = devices.replicate((batch, valid), self._mesh)
    return batch_totals(
      networks,
      batch,
      valid,
      self._standardizer,
      self._hyper,
      program=self._program,
      by_batch=by_batch,
      mesh=self._mesh,
    )

  @property
  def _size(self) -> int:
    """The number of members, filled up so that devices have equally many."""
    return devices.whole_shards(len(self._runs), self._mesh)

  def _padded(self, items: Sequence[Any]) -> list[Any]:
    return [*items, *[items[0]] * (self._size - len(self._runs))]

  def _put(self, tree: Tree) -> Tree:
    """On the devices, members that only fill up added where they lack."""

    def put(x: Any) -> jax.Array:
      missing = self._size - len(x)
      if missing:
        x = np.concatenate([x, np.repeat(x[:1], missing, axis=0)])
      return jax.device_put(x, NamedSharding(self._mesh, PartitionSpec(AXIS)))

    return jax.tree.map(put, tree)


def mesh_of(members: int) -> Mesh:
  """The devices of this process, as far as there are members for them."""
  return Mesh(np.array(jax.local_devices()[:members]), (AXIS,))


def stacked(trees: Sequence[Tree]) -> Tree:
  """Trees of arrays on the host as one, with their number in front."""
  return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


@jax.jit
def _member(
  state: training_step.TrainState, i: int
) -> training_step.TrainState:
  return jax.tree.map(lambda x: x[i], state)


@jax.jit
def _copy(state: training_step.TrainState) -> training_step.TrainState:
  return jax.tree.map(jnp.copy, state)


@functools.partial(jax.jit, donate_argnames='old')
def _chosen(
  flags: jax.Array, new: training_step.TrainState, old: training_step.TrainState
) -> training_step.TrainState:
  """The new states of the members whose flag is set, and the others' old."""
  return jax.vmap(
    lambda flag, *states: jax.tree.map(
      functools.partial(jnp.where, flag), *states
    )
  )(flags, new, old)
