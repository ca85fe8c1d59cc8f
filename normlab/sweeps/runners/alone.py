"""Trains runs one after another in this process.

Runs with equal programs (`programs.Program`) compile once.
"""

from collections.abc import Callable, Iterator, Mapping

import ml_collections

from normlab import errors
from normlab.runtime import progress_bar
from normlab.runtime.interruption import Interrupted
from normlab.sweeps.runners.interface import Ended, Runs, Watch
from normlab.training import loop


class OneProcess:
  """One run after another, on all devices of this process."""

  def describe(self) -> str:
    """In words."""
    return 'one after another in one process'

  def check(self, runs: Runs) -> None:
    """Everything that a run needs is here."""

  def train(self, runs: Runs, watch: Watch) -> Iterator[Ended]:
    """Trains each run; see `interface.Runner`."""
    for path, config in runs.items():
      if watch.stop():
        return
      watch.started(path)
      try:
        yield Ended(path, train_run(config, path, watch.stop, watch.poll))
      except Interrupted:
        return


def train_run(
  config: ml_collections.ConfigDict,
  path: str,
  stop: Callable[[], bool],
  poll: Callable[[], None] = lambda: None,
) -> str | None:
  """Trains a run, as a member of a sweep.

  Args:
    config: as in `configs/base.py`.
    path: the run's folder.
    stop: returns True to save the state and end.
    poll: called after each step.

  Returns:
    What went wrong, in one line; None where the run has its result.

  Raises:
    Interrupted: `stop` returned True; the state is saved.
  """
  display = Polling(poll)
  try:
    loop.train(config, path, progress=lambda _: display, stop=stop)
  except Interrupted:
    raise
  except Exception as error:  # Of this run alone: the others go on.
    return errors.summary(error)
  return None


class Polling(progress_bar.Silent):
  """Shows nothing, but calls a function after each step."""

  def __init__(self, poll: Callable[[], None]):
    """Takes the function."""
    self._poll = poll

  def step(self, step: int, values: Mapping[str, float]) -> None:
    """Calls it."""
    self._poll()
