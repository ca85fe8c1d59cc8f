"""Trains one run: a config and a work directory in, a record out."""

import contextlib
import math
from collections.abc import Callable
from typing import NamedTuple

import ml_collections

from normlab import records
from normlab.data import feeds
from normlab.journal.checkpoints import Restored
from normlab.journal.journals import Journal
from normlab.program import training_step
from normlab.runtime import distributed, progress_bar, thread_noise
from normlab.runtime.interruption import Interrupted
from normlab.runtime.profiling import Profiler
from normlab.training import (
  claiming,
  description,
  divergence,
  evaluation,
  preparation,
)
from normlab.training.training_rows import DivergedError, TrainLog, is_due

Stop = Callable[[], bool]


def train(
  config: ml_collections.ConfigDict,
  workdir: str,
  *,
  progress: Callable[[int], progress_bar.Progress] | None = None,
  stop: Stop = lambda: False,
) -> records.Record:
  """Trains the run of `config` in `workdir`, or returns it if it is finished.

  A run that did not finish is continued from its newest checkpoint, with the
  rows and the parameters of one that was never stopped.

  Args:
    config: as in `configs/base.py`.
    workdir: the run's folder; created where it is missing. Of several
      processes, all see the same.
    progress: makes what shows the progress, from the number of steps; default:
      a bar or lines on standard error.
    stop: asked after every call of the compiled program, and in evaluations,
      whether the run is to save its state and end.

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
    if not claiming.taken(record, config, stack):
      return record
    primary = distributed.is_primary()
    make = progress or progress_bar.for_terminal
    display = make(config.total_steps) if primary else progress_bar.Silent()
    stack.enter_context(contextlib.closing(display))
    journal = Journal(record, keep_checkpoints=config.keep_checkpoints)
    stack.enter_context(thread_noise.hidden())
    stack.enter_context(contextlib.closing(journal))
    with claiming.recorded(record, config, journal):
      ready = preparation.prepare(config)
      stack.enter_context(contextlib.closing(ready.data))
      train_prepared(Session(ready, journal, display, stop), record)
  return record


class Session(NamedTuple):
  """What a run is trained with.

  Attributes:
    ready: the run.
    journal: its record and checkpoints.
    display: shows the progress.
    stop: whether the run is to save its state and end.
  """

  ready: preparation.Run
  journal: Journal
  display: progress_bar.Progress
  stop: Stop


def train_prepared(session: Session, record: records.Record) -> None:
  """Trains from where the record stands to the last step.

  Raises:
    DivergedError: a loss that is not finite; the last state that was is saved.
    Interrupted: as `stop` said so; the state is saved.
  """
  ready, journal, display, _ = session
  state = preparation.initial_state(ready)
  display.note(description.describe(ready, state))
  start = journal.resume(state, display.warn)
  if start.step:
    display.resumed(start.step)
    ready.data.restore(start.position.stream)
  ready.data.start()
  profiler = Profiler(
    record.path,
    enabled=ready.config.profile and distributed.is_primary(),
    start=start.step,
    total_steps=ready.config.total_steps,
  )
  with contextlib.closing(profiler):
    try:
      loop(session, start, profiler)
    except DivergedError as error:
      keep_last_finite(ready, journal, error)
      raise
  journal.wait()


def loop(session: Session, start: Restored, profiler: Profiler) -> None:
  """Makes all steps that are left, one compiled call after another.

  The metrics of a call are fetched after the next call is dispatched, so that
  the device never waits for this loop.

  Raises:
    DivergedError: a loss that is not finite.
    Interrupted: the state is saved.
  """
  ready, journal, display, stop = session
  config, state = ready.config, start.state
  log = TrainLog(
    config, journal, display, ready.learning_rates, start.position.window
  )
  agreed = distributed.Agreement(stop)
  if start.position.evaluation_due:
    look(session, state, start.step, log.window, saving=False)
  for first, count in preparation.calls(config, start.step):
    profiler.before(first, state)
    state, means = preparation.run_steps(ready, state, first, count)
    log.add(first, means, state.params)
    step = first + count
    last = step == config.total_steps
    stopping = agreed()
    saving = (
      last or stopping or is_due(step, preparation.checkpoint_every(config))
    )
    if not (saving or is_due(step, config.eval_every)):
      continue
    log.flush()
    if last:
      profiler.before(step, state)
    with log.paused():
      look(session, state, step, log.window, saving=saving)
    if stopping and not last:
      journal.wait()
      raise Interrupted(step)


def look(
  session: Session,
  state: training_step.TrainState,
  step: int,
  window: tuple[dict[str, float], ...],
  *,
  saving: bool,
) -> None:
  """Evaluates and saves the state after a step, as far as either is due.

  An evaluation that is stopped is made when the run is continued.

  Args:
    session: the run; all rows before are written.
    state: after the step.
    step: updates so far.
    window: values of the steps since the last training row.
    saving: whether a checkpoint is due, also if this is not the best state.

  Raises:
    DivergedError: a loss that is not finite.
    Interrupted: in an evaluation; the state before it is saved.
  """
  ready, journal = session.ready, session.journal
  rest = {'window': window, 'stream': ready.data.state()}
  config, rows = ready.config, journal.rows
  if step == config.total_steps or is_due(step, config.eval_every):
    try:
      evaluate(session, state, step)
    except feeds.Stopped as error:
      journal.save(step, state, **rest, rows_before_evaluation=rows)
      journal.wait()
      raise Interrupted(step) from error
  if saving or journal.is_best(step):
    journal.save(step, state, **rest)


def evaluate(
  session: Session, state: training_step.TrainState, step: int
) -> None:
  """Evaluates on the validation split, at the end on the test split too.

  Raises:
    DivergedError: a loss that is not finite.
    feeds.Stopped: as `stop` said so.
  """
  ready, journal, display, stop = session
  last = step == ready.config.total_steps
  if distributed.is_alone():
    ready = ready._replace(data=feeds.Stoppable(ready.data, stop))
  for split in ('validation', 'test') if last else ('validation',):
    values = evaluation.evaluate(ready, state, split)
    journal.write(step, split, values)
    display.evaluated(step, split, values)
    if not math.isfinite(values['loss']):
      raise DivergedError(step, split)


def keep_last_finite(
  ready: preparation.Run,
  journal: Journal,
  error: DivergedError,
  frozen: training_step.TrainState | None = None,
) -> None:
  """Saves the last state that was finite, and finds out what was not, if asked.

  What was found is added to the error.

  Args:
    ready: the run.
    journal: likewise.
    error: says when the loss was not finite.
    frozen: the state whose loss that was, where it is at hand.
  """
  # A training loss is that of the state before its step.
  step = error.step - (error.split == 'train')
  state = frozen
  if state is None or not divergence.all_finite(state):
    step, state = divergence.last_finite(ready, journal, step)
  journal.save(step, state, stream=ready.data.state())
  journal.wait()
  error.details |= {'split': error.split, 'last_finite_step': step}
  if ready.config.debug_nans:
    tensor = divergence.first_nonfinite(ready, state, step)
    error.details['first_nonfinite'] = tensor or f'{error.split} loss'
