"""A run of a stack: its folder, its rows, and how it ends."""

import contextlib
from collections.abc import Iterator

import jax
import ml_collections

from normlab import errors, records
from normlab.journal.checkpoints import Position
from normlab.journal.journals import Journal
from normlab.program import programs, training_step
from normlab.runtime import progress_bar
from normlab.runtime.interruption import Interrupted
from normlab.sweeps.runners.interface import Ended
from normlab.training import claiming, divergence, endings, preparation
from normlab.training.divergence import DivergedError
from normlab.training.training_rows import TrainRows


class StackedMember:
  """The own part of a run in a stack.

  Attributes:
    path, config, journal: of the run.
    run: the run as it would be alone, on one device.
    start: where it stood when it was opened.
    files: its open files; closing them writes the status.
    unsaved_best: where it stood in its best state, if that is not saved yet.
    rows: writes its training rows.
    ended: how it has ended; None before.
    interrupted: whether it has ended to be continued later.
  """

  def __init__(self, path: str, config: ml_collections.ConfigDict):
    """Writes nothing yet."""
    self.path, self.config = path, config
    self.ended: Ended | None = None
    self.interrupted = False
    self._record = records.Record(path)
    self.journal = Journal(
      self._record, keep_checkpoints=config.keep_checkpoints
    )
    self.files = contextlib.ExitStack()
    self.unsaved_best: Position | None = None

  def open(
    self,
    beside: preparation.PreparedRun | None,
    initializer: programs.Program | None,
  ) -> None:
    """Takes the folder and reads the newest checkpoint.

    Args:
      beside: an opened run of the stack.
      initializer: a program with the same initial parameters, compiled already.
    """
    with self.guarded():
      checked = claiming.taken(self._record, self.config, self.files)
      if checked is None:
        self.end()
        return
      self.files.enter_context(contextlib.closing(self.journal))
      self.files.enter_context(
        endings.recorded(self._record, self.config, self.journal)
      )
      self.run = preparation.prepare(checked.but(num_devices=1), beside)
      state = preparation.initial_state(
        self.run._replace(program=initializer or self.run.program)
      )
      state, self.start = self.journal.resume(
        state, progress_bar.Progress().warn
      )
      # The memory of the devices is for the stack.
      self._state = jax.device_get(state)
      self.rows = TrainRows(
        self.config,
        self.journal,
        self.run.learning_rates,
        self.start.window,
      )

  def taken_state(self) -> training_step.TrainState:
    """The state at the start, on the host; it is not kept any longer."""
    state, self._state = self._state, None
    return state

  @contextlib.contextmanager
  def guarded(self) -> Iterator[None]:
    """A block whose exceptions end this run, and not the others."""
    try:
      yield
    except Exception as error:
      self.end(error)

  def position(self, step: int) -> Position:
    """Where the run stands after `step` updates."""
    return self.journal.position(step, window=self.rows.window)

  def diverge(
    self, error: DivergedError, frozen: training_step.TrainState
  ) -> None:
    """Ends as a run alone would; `frozen` is the state whose loss it was."""
    with self.guarded():
      divergence.keep_last_finite(self.run, self.journal, error, frozen)
      self.end(error)

  def interrupt(self, step: int) -> None:
    """Ends, to be continued behind its newest checkpoint."""
    with self.guarded():
      self.journal.wait()
      self.end(Interrupted(step))

  def end(self, error: Exception | None = None) -> None:
    """Writes down how the run ends, and closes its files."""
    problem = None
    try:
      with self.files:
        if error is not None:
          raise error
    except Interrupted:
      self.interrupted = True
    except DivergedError:
      pass
    except Exception as failure:
      problem = errors.summary(failure)
    self.ended = Ended(self.path, problem)
