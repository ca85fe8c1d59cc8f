"""The loop of a run, or of several in step, and its hooks between calls."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import ml_collections

from normlab import records
from normlab.journal.checkpoints import Position
from normlab.journal.journals import Journal
from normlab.program import periods, training_step
from normlab.runtime import distributed, progress_bar, thread_noise
from normlab.runtime.profiling import Profiler
from normlab.training import (
  claiming,
  endings,
  evaluation,
  preparation,
)
from normlab.training.compiled_calls import (
  CallMetrics,
  FetchedCall,
  PendingMetrics,
)
from normlab.training.single_run import SingleRun


def train(
  config: ml_collections.ConfigDict,
  workdir: str,
  *,
  progress: Callable[[int], progress_bar.Progress] | None = None,
  stop: Callable[[], bool] = lambda: False,
) -> records.Record:
  """Trains the run of `config` in `workdir`, or returns it if it is finished.

  A run that did not finish is continued from its newest checkpoint, with the
  rows and the parameters of one that was never stopped.

  Args:
    workdir: the run's folder; created where it is missing. Of several
      processes, all see the same.
    progress: makes what shows the progress, from the number of steps; default:
      a bar or lines on standard error.
    stop: returns True to save and stop; polled after every compiled call, and
      in evaluations.

  Returns:
    The record; its status is 'done', or 'diverged' with the step.

  Raises:
    errors.ConfigError: a config that cannot be trained, and nothing is written;
      or one that needs more memory than there is.
    records.RecordError: a folder that cannot be used, and nothing is written;
      or one that became full, and the last checkpoint is as it was.
    Interrupted: as `stop` said so; the state is saved.
  """
  record = records.Record(workdir)
  with contextlib.ExitStack() as stack:
    checked = claiming.taken(record, config, stack)
    if checked is None:
      return record
    primary = distributed.is_primary()
    make = progress or progress_bar.for_terminal
    display = make(config.total_steps) if primary else progress_bar.Progress()
    stack.enter_context(contextlib.closing(display))
    journal = Journal(record, keep_checkpoints=config.keep_checkpoints)
    stack.enter_context(thread_noise.hidden())
    stack.enter_context(contextlib.closing(journal))
    with endings.recorded(record, config, journal):
      prepared = preparation.prepare(checked)
      stack.enter_context(contextlib.closing(prepared.feed))
      run = SingleRun(prepared, journal, display, stop)
      profiler = Profiler(
        record.path,
        enabled=config.profile and primary,
        start=run.start.step,
        total_steps=config.total_steps,
      )
      # A trace has no evaluations in it.
      hooks = [
        showing(display),
        Hook(profiler.ends, profiler.close),
        evaluating(run),
        measuring(run),
        Hook(profiler.starts, profiler.start),
      ]
      with contextlib.closing(profiler), run.last_finite_kept():
        for _ in steps(run, hooks):
          pass
  return record


class Trainable(Protocol):
  """One run, or several at the same step, as the loop drives them.

  Where a loss is not finite, several runs go on without the one that has it.

  Attributes:
    config: of all runs, as far as it says when something happens.
    start: where all runs stand, as far as step and evaluation go.
  """

  config: ml_collections.ConfigDict
  start: Position

  def is_over(self) -> bool:
    """Whether every run has ended."""

  def run_steps(self, first: int, count: int) -> CallMetrics:
    """Dispatches `count` updates from step `first` (from 0).

    Those of one run are `compiled_calls.run_steps`.
    """

  def parameter_norms(self) -> training_step.Metrics:
    """Dispatches the norms of the parameters."""

  def write_rows(self, fetched: FetchedCall) -> None:
    """Writes the training rows that end with a call: see `TrainRows.write`."""

  def evaluate(self, step: int, split: str) -> None:
    """Writes the evaluation of a split.

    Raises:
      evaluation.Stopped: `stop` returned True.
    """

  def positions(self, step: int) -> Any:
    """Where the runs stand after `step` updates, for `interrupt`."""

  def save(self, step: int, *, best_only: bool) -> None:
    """Starts to save the states, or those that are the best so far."""

  def stop(self) -> bool:
    """Returns True to save and stop; polled after every call."""

  def interrupt(self, step: int, unevaluated: Any = None) -> None:
    """Ends the runs, to be continued from their checkpoints.

    Args:
      unevaluated: positions before an evaluation that was stopped: they are
        saved, and the evaluation is made when the runs are continued.
    """

  def finish(self) -> None:
    """Ends the runs, which have made all steps."""


class Hook(NamedTuple):
  """Something that is done beside the updates.

  Attributes:
    is_due: whether to act, given the number of updates so far.
    act: is given the same, between calls, when all updates so far are computed
      and logged; raises `evaluation.Stopped` if the runs are to stop.
    fetched: is given each call when its metrics are on the host and logged; the
      device is calls ahead.
  """

  is_due: Callable[[int], bool] = lambda step: False
  act: Callable[[int], None] = lambda step: None
  fetched: Callable[[FetchedCall], None] = lambda call: None


def steps(runs: Trainable, hooks: Sequence[Hook]) -> Iterator[None]:
  """Makes all steps that are left, one compiled call after another.

  The metrics of a call are fetched after the next call is dispatched, so that
  the device never waits for this loop.

  Args:
    hooks: called in this order between calls, before the states are saved.

  Yields:
    After every call, and at the start and the end.
  """
  config, start = runs.config, runs.start

  pending = PendingMetrics(config, norms_of=runs.parameter_norms)
  between_calls(runs, pending, hooks, start.step, saving=False)
  yield
  for first, count in periods.calls(config, start.step):
    if runs.is_over():
      return
    metrics = runs.run_steps(first, count)
    if pending.is_ready():
      write(runs, pending, hooks)
    pending.add(first, metrics)
    step = first + count
    last = step == config.total_steps
    stopping = runs.stop() and not last
    saves = periods.is_due(step, periods.checkpoint_every(config))
    saving = last or stopping or saves
    between_calls(runs, pending, hooks, step, saving=saving)
    if stopping:
      runs.interrupt(step)
    yield
  runs.finish()
  yield


def write(
  runs: Trainable, pending: PendingMetrics, hooks: Sequence[Hook]
) -> None:
  """Fetches what is pending, and writes its rows."""
  for fetched in pending.fetch():
    runs.write_rows(fetched)
    for hook in hooks:
      hook.fetched(fetched)


def between_calls(
  runs: Trainable,
  pending: PendingMetrics,
  hooks: Sequence[Hook],
  step: int,
  *,
  saving: bool,
) -> None:
  """Does what is due after `step` updates; saves all states if `saving`."""
  due = [hook for hook in hooks if hook.is_due(step)]
  if not (due or saving):
    return
  write(runs, pending, hooks)
  with pending.paused():
    positions = runs.positions(step)
    try:
      for hook in due:
        hook.act(step)
    except evaluation.Stopped:
      runs.interrupt(step, positions)
    else:
      runs.save(step, best_only=not saving)


def showing(display: progress_bar.Progress) -> Hook:
  """Shows every step of a run alone."""

  def show(fetched: FetchedCall) -> None:
    for step, of_step in fetched.by_step():
      display.step(step, of_step)

  return Hook(fetched=show)


def evaluating(runs: Trainable) -> Hook:
  """Evaluates on the validation split, at the end on the test split too."""
  config, start = runs.config, runs.start

  def evaluation_due(step: int) -> bool:
    if step == start.step:
      return start.evaluation_due
    last = step == config.total_steps
    return last or periods.is_due(step, config.eval_every)

  def evaluate(step: int) -> None:
    last = step == config.total_steps
    for split in ('validation', 'test') if last else ('validation',):
      runs.evaluate(step, split)

  return Hook(evaluation_due, evaluate)


def measuring(run: SingleRun) -> Hook:
  """Measures what the config asks for, from before the first step on."""
  every = periods.measure_every(run.config)

  def measurement_due(step: int) -> bool:
    if every is None:
      return False
    # A run that resumes has measured before it was saved.
    again = step == run.start.step and not run.start.evaluation_due
    return periods.is_due(step, every) and (step == 0 or not again)

  return Hook(measurement_due, run.measure)
