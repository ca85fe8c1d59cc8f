"""A run on its own, as the loop drives it."""

import contextlib
import math
from collections.abc import Callable, Iterator

import jax

from normlab import probes, validation
from normlab.journal.checkpoints import Position
from normlab.journal.journals import Journal
from normlab.program import training_step
from normlab.runtime import distributed, progress_bar
from normlab.runtime.interruption import Interrupted
from normlab.training import (
  compiled_calls,
  description,
  divergence,
  evaluation,
  preparation,
)
from normlab.training.compiled_calls import CallMetrics, FetchedCall
from normlab.training.divergence import DivergedError
from normlab.training.training_rows import TrainRows


class SingleRun:
  """A `loop.Trainable` of one run; raises its errors."""

  def __init__(
    self,
    run: preparation.PreparedRun,
    journal: Journal,
    display: progress_bar.Progress,
    stop: Callable[[], bool],
  ):
    """Reads the newest checkpoint, and starts to read examples."""
    self.config = run.config
    self._run, self._journal, self._display = run, journal, display
    state = preparation.initial_state(run)
    display.note(description.describe(run, state))
    for line in validation.notes([run.config]):
      display.note(f'note: {line}')
    self._state, self.start = journal.resume(state, display.warn)
    if self.start.step:
      display.resumed(self.start.step)
      run.feed.restore(self.start.stream)
    run.feed.start()
    self._rows = TrainRows(
      self.config, journal, run.learning_rates, self.start.window
    )
    self.stop = distributed.Agreement(stop)
    self._evaluated = run
    if distributed.is_alone():
      self._evaluated = run._replace(feed=evaluation.Stoppable(run.feed, stop))

  def is_over(self) -> bool:
    """Never: a run alone ends by an exception."""
    return False

  def run_steps(self, first: int, count: int) -> CallMetrics:
    """Dispatches `count` updates from step `first` (from 0)."""
    self._state, metrics = compiled_calls.run_steps(
      self._run, self._state, first, count
    )
    return metrics

  def write_rows(self, fetched: FetchedCall) -> None:
    """Writes the training rows that end with a call."""
    self._rows.write(fetched)

  def parameter_norms(self) -> training_step.Metrics:
    """Dispatches the norms of the parameters."""
    return compiled_calls.parameter_norms(
      self._state.params, each=self.config.log_layer_norms
    )

  def evaluate(self, step: int, split: str) -> None:
    """Writes the evaluation of a split.

    Raises:
      DivergedError: a loss that is not finite.
      evaluation.Stopped: `stop` returned True.
    """
    metrics = evaluation.evaluate(self._evaluated, self._state, split)
    self._journal.write(step, split, metrics)
    self._display.evaluated(step, split, metrics)
    if not math.isfinite(metrics['loss']):
      raise DivergedError(step, split)

  def measure(self, step: int) -> None:
    """Writes what each probe of the config measures."""
    for name in self.config.probes.names:
      measured = probes.find(name)(self._run, self._state, step)
      self._journal.write_probe(step, name, jax.device_get(measured))

  def positions(self, step: int) -> Position:
    """Where the run stands."""
    return self._journal.position(
      step, window=self._rows.window, stream=self._run.feed.state()
    )

  def save(self, step: int, *, best_only: bool) -> None:
    """Starts to save the state."""
    if not best_only or self._journal.is_best(step):
      self._journal.save(self._state, self.positions(step))

  def interrupt(self, step: int, unevaluated: Position | None = None) -> None:
    """Saves what is to be saved, and ends.

    Raises:
      Interrupted: always.
    """
    if unevaluated is not None:
      self._journal.save_unevaluated(self._state, unevaluated)
    self._journal.wait()
    raise Interrupted(step)

  def finish(self) -> None:
    """Returns when everything is on disk."""
    self._journal.wait()

  @contextlib.contextmanager
  def last_finite_kept(self) -> Iterator[None]:
    """Saves the last finite state if the block diverges."""
    try:
      yield
    except DivergedError as error:
      divergence.keep_last_finite(self._run, self._journal, error)
      raise
