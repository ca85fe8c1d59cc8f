"""The checkpoints of a run: which exist, which are whole, which are kept."""

import contextlib
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

from normlab import records
from normlab.journal import checkpoint_files
from normlab.journal.checkpoint_files import DamagedError, Position
from normlab.program import training_step
from normlab.runtime import distributed

DAMAGED = 'damaged_checkpoints'


class Checkpoints:
  """The checkpoints in the folder of a run."""

  def __init__(self, record: records.Record, *, keep: int = 1):
    """Names the folder; nothing is read or written yet.

    Args:
      keep: how many of the newest are kept, beside the best.
    """
    self.folder = record.path / records.CHECKPOINTS
    self._record = record
    self._keep = keep
    self._opened: Any = None

  def save(
    self,
    state: training_step.TrainState,
    position: Position,
    *,
    accuracy: float | None = None,
  ) -> None:
    """Starts to write a checkpoint; training may go on.

    Args:
      state: copied before this returns.
      accuracy: on the validation split, if it was evaluated at this step.

    Raises:
      RecordError: this or an earlier checkpoint cannot be written.
    """
    self.wait()  # Orbax would wait too.
    with checkpoint_files.writing(self.folder):
      self._manager().save(
        position.step,
        args=checkpoint_files.arguments(state, position, self._record.config),
        metrics={
          'accuracy': checkpoint_files.NOT_EVALUATED
          if accuracy is None
          else accuracy
        },
        force=True,
      )

  def wait(self) -> None:
    """Returns when all is on disk.

    Raises:
      RecordError: it cannot be written.
    """
    if self._opened is not None:
      with checkpoint_files.writing(self.folder):
        self._opened.wait_until_finished()
    if distributed.is_primary():
      shutil.rmtree(self.folder / checkpoint_files.DELETED, ignore_errors=True)

  def close(self) -> None:
    """Ends the threads that write, whatever became of their work."""
    manager, self._opened = self._opened, None
    if manager is not None:
      with contextlib.suppress(Exception):  # `wait` is what raises.
        manager.close()

  def available(self) -> list[int]:
    """The steps that have a checkpoint, in rising order."""
    if not self.folder.is_dir():
      return []
    names = [path.name for path in self.folder.iterdir()]
    found = (int(name) for name in names if name.isdecimal())
    return sorted(step for step in found if str(step) in names)

  def best(self) -> int | None:
    """The step of the best by validation accuracy; None where there is none."""
    accuracies = {}
    for step in self.available():
      with contextlib.suppress(DamagedError):
        accuracies[step] = checkpoint_files.accuracy(self.folder / str(step))
    known = {
      s: a for s, a in accuracies.items() if a != checkpoint_files.NOT_EVALUATED
    }
    return max(known, key=lambda step: (known[step], -step), default=None)

  def read(
    self, step: int, like: training_step.TrainState
  ) -> tuple[training_step.TrainState, Position]:
    """Reads one checkpoint; see `checkpoint_files.read`."""
    return checkpoint_files.read(self.folder / str(step), like)

  def newest_whole(
    self, like: training_step.TrainState, warn: Callable[[str], None]
  ) -> tuple[training_step.TrainState, Position] | None:
    """The newest checkpoint that is whole and agrees with the record, or None.

    Those that are not are moved aside, to `damaged_checkpoints`.

    Args:
      like: as in `read`.
      warn: is told of each checkpoint that is passed over.
    """
    found, problems = None, []
    for step in reversed(self.available()):
      problem, read = None, None
      try:
        # Orbax does not open a folder in which there are damaged ones.
        checkpoint_files.accuracy(self.folder / str(step))
        if found is None:
          read = self.read(step, like)
          problem = self._disagreement(read[1])
      except DamagedError as error:
        problem = error.reason
      if problem := distributed.first_problem(problem):
        aside = self._set_aside(step)
        problems.append(
          f'checkpoint {str(self.folder / str(step))!r} cannot be used '
          f'({problem}); it is now {str(aside)!r}'
        )
      else:
        found = found or read
    outcome = f'goes on from step {found[1].step}' if found else 'starts over'
    for problem in problems:
      warn(f'{problem}, and the run {outcome}')
    return found

  def _disagreement(self, position: Position) -> str | None:
    """The problem if rows from before the checkpoint are missing; else None."""
    rows = self._record.whole_rows()
    if rows >= position.rows:
      return None
    return (
      f'{records.METRICS} has {rows} of the {position.rows} rows that were '
      'written before it'
    )

  def _set_aside(self, step: int) -> pathlib.Path:
    """Moves a checkpoint out of the way; nothing is deleted."""
    self.close()
    target = self._record.path / DAMAGED / str(step)
    while target.exists():
      target = target.with_name(target.name + '_')
    if distributed.is_primary():
      target.parent.mkdir(exist_ok=True)
      (self.folder / str(step)).rename(target)
    distributed.wait_for_all('set_aside')
    return target

  def _manager(self) -> Any:
    if self._opened is None:
      self._opened = checkpoint_files.open_manager(self.folder, self._keep)
    return self._opened


def restore(
  record: records.Record,
  like: training_step.TrainState,
  *,
  step: int | None = None,
  best: bool = False,
) -> tuple[training_step.TrainState, Position]:
  """Reads a checkpoint of a run, and changes nothing.

  Args:
    like: a state with the shapes, and on the devices, that are wanted.
    step: of the checkpoint; None is the newest, or the best.
    best: by validation accuracy, of those there are.

  Raises:
    RecordError: no such checkpoint, or it is damaged.
  """
  found = Checkpoints(record)
  available = found.available()
  chosen = step
  if chosen is None and available:
    chosen = found.best() if best else available[-1]
  if chosen not in available:
    wanted = 'checkpoint' if step is None else f'checkpoint of step {step}'
    raise records.RecordError(
      f'{str(record.path)!r} has no {wanted}; there are: '
      f'{", ".join(map(str, available)) or "none"}'
    )
  try:
    return found.read(chosen, like)
  except DamagedError as error:
    raise records.RecordError(str(error)) from error
