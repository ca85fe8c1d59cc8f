"""Compiled calls of some training steps each, and what is fetched of them."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax import struct

from normlab import data
from normlab.program import periods, programs, training_step
from normlab.training.preparation import PreparedRun

# Seconds between two looks at the metrics: each waits for the device.
FETCH_EVERY = 0.1
# Calls that are not fetched. From the 33rd program in flight on simulated
# devices, XLA of JAX 0.10 blocks the threads that run programs by launching
# more.
MOST_PENDING = 16


class CallMetrics(struct.PyTreeNode):
  """The metrics of the steps of a call, as one array: it is fetched at once.

  Attributes:
    names: of the metrics.
    values: float32 [steps, names]; of stacked runs [members, steps, names].
  """

  names: tuple[str, ...] = struct.field(pytree_node=False)
  values: jax.Array

  @property
  def count(self) -> int:
    """The number of steps."""
    return self.values.shape[-2]

  def on_host(self) -> 'CallMetrics':
    """The same in the memory of the host; waits for the device."""
    return self.replace(values=np.asarray(self.values))

  def of_member(self, i: int) -> 'CallMetrics':
    """The metrics of one of the stacked runs."""
    return self.replace(values=self.values[i])

  def by_step(self) -> list[dict[str, float]]:
    """The metrics of each step, on the host."""
    values = self.values.tolist()
    return [dict(zip(self.names, row, strict=True)) for row in values]


@functools.partial(jax.jit, static_argnames='program', donate_argnames='state')
def train_steps(
  state: training_step.TrainState,
  inputs: training_step.Inputs,
  standardizer: data.Standardizer,
  hyper: programs.Hyper,
  key: jax.Array,
  *,
  program: programs.Program,
) -> tuple[training_step.TrainState, CallMetrics]:
  """Some updates in one program; the state is donated.

  Runs with equal programs share what is compiled. More than one step is for
  accelerators: XLA's CPU backend runs a convolution inside a loop many times
  slower.

  Args:
    hyper: with the learning rates of the steps, [steps].
    key: of the run.
  """

  def one(state: training_step.TrainState, i: int | jax.Array):
    batch, numbers = inputs.batch(i), hyper.of_step(i)
    return training_step.train_step(
      state, batch, standardizer, numbers, key, program=program
    )

  state, metrics = training_step.repeated(one, state, len(hyper.rates))
  return state, as_call_metrics(metrics)


def as_call_metrics(metrics: training_step.Metrics) -> CallMetrics:
  """The metrics of some steps, [steps] each, as one array."""
  names = tuple(sorted(metrics))
  return CallMetrics(
    names, jnp.stack([metrics[name] for name in names], axis=1)
  )


@functools.partial(jax.jit, static_argnames='each')
def parameter_norms(
  params: training_step.Params, *, each: bool
) -> training_step.Metrics:
  """The norm of all parameters, and of each if asked, compiled."""
  return training_step.euclidean_norms('parameter_norm', params, each=each)


def run_steps(
  run: PreparedRun, state: training_step.TrainState, first: int, count: int
) -> tuple[training_step.TrainState, CallMetrics]:
  """`train_steps` of `count` updates from step `first` (from 0).

  Streamed examples are the next ones, whatever `first` is.
  """
  arguments = arguments_of(run, first, run.feed.inputs(first, count), count)
  return train_steps(state, *arguments, program=run.program)


def arguments_of(
  run: PreparedRun, first: int, inputs: training_step.Inputs, count: int
) -> tuple[Any, ...]:
  """What `train_steps` is given beside the state."""
  hyper = run.hyper.with_rates(run.learning_rates.of(first, count))
  return inputs, run.standardizer, hyper, run.key


def compiled_step(
  run: PreparedRun, state: training_step.TrainState
) -> jax.stages.Compiled:
  """The compiled call of the run, as `run_steps` makes it."""
  count = min(periods.steps_per_call(run.config), run.config.total_steps)
  arguments = arguments_of(run, 0, run.feed.inputs(0, count), count)
  return train_steps.lower(state, *arguments, program=run.program).compile()


class FetchedCall(NamedTuple):
  """A call whose metrics are on the host.

  Attributes:
    first: its first step, from 0.
    metrics: of its steps.
    norms: of the parameters after it; empty unless a training row ends with it.
    steps_per_second: since the row before; 0 unless a row ends with it.
  """

  first: int
  metrics: CallMetrics
  norms: training_step.Metrics
  steps_per_second: float

  @property
  def end(self) -> int:
    """Updates so far, after the call."""
    return self.first + self.metrics.count

  def by_step(self) -> list[tuple[int, dict[str, float]]]:
    """The steps, from 1, and the metrics of each."""
    return list(enumerate(self.metrics.by_step(), start=self.first + 1))

  def of_member(self, i: int) -> 'FetchedCall':
    """The same of one of the stacked runs."""
    norms = {name: norm[i] for name, norm in self.norms.items()}
    return self._replace(metrics=self.metrics.of_member(i), norms=norms)


class PendingMetrics:
  """The metrics of calls, fetched at least one call behind the device."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    *,
    norms_of: Callable[[], training_step.Metrics],
  ):
    """Has fetched nothing yet.

    Args:
      norms_of: computes the norms of the parameters as they are now.
    """
    self._config = config
    self._norms_of = norms_of
    self._pending: list[tuple[int, CallMetrics, training_step.Metrics]] = []
    self._fetched = time.monotonic()
    # Step and time of the last row, or of the start.
    self._since: tuple[int, float] | None = None

  def is_ready(self) -> bool:
    """Whether to fetch now; asked when the next call is dispatched."""
    row_ended = bool(self._pending and self._pending[-1][2])
    full = len(self._pending) == MOST_PENDING
    return row_ended or full or time.monotonic() - self._fetched > FETCH_EVERY

  def add(self, first: int, metrics: CallMetrics) -> None:
    """Takes the metrics of a call that was just dispatched.

    Args:
      first: its first step, from 0.
    """
    if self._since is None:
      # The first call compiled before it was dispatched; so does this.
      self._norms_of()
      self._since = first, time.monotonic()
    step = first + metrics.count
    ends = periods.is_due(step, self._config.log_every)
    ends |= step == self._config.total_steps
    self._pending.append((first, metrics, self._norms_of() if ends else {}))

  def fetch(self) -> Iterator[FetchedCall]:
    """Yields what is pending, one call after the other."""
    pending, self._pending = self._pending, []
    for first, metrics, norms in pending:
      metrics, norms = metrics.on_host(), jax.device_get(norms)
      rate = self._lap(first + metrics.count) if norms else 0.0
      yield FetchedCall(first, metrics, norms, rate)
    self._fetched = time.monotonic()

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Leaves what is done in the block out of the training speed."""
    start = time.monotonic()
    yield
    if self._since is not None:
      step, since = self._since
      self._since = step, since + time.monotonic() - start

  def _lap(self, step: int) -> float:
    """Steps per second since the last lap."""
    (before, since), now = self._since, time.monotonic()
    self._since = step, now
    return (step - before) / max(now - since, 1e-9)
