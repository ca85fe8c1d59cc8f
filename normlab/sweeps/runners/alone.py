"""Trains runs one after another in this process.

Runs with equal programs (`programs.Program`) compile once.
"""

from collections.abc import Callable, Iterator, Mapping

import ml_collections

from normlab import errors
from normlab.runtime import progress_bar
from normlab.runtime.interruption import Interrupted
from normlab.sweeps.runners import estimates
from normlab.sweeps.runners.interface import Ended, Estimate, Runs, Watch
from normlab.training import loop


class OneProcess:
  """One run after another, on all devices of this process."""

  def describe(self) -> str:
    """In words."""
    return 'one after another in one process'

  def estimate(self, group: Runs) -> Estimate:
    """How long some runs of one program would take."""
    return estimates.one_by_one(group)

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
    config: of the run.
    path: its folder.
    stop: whether to save the state and end.
    poll: called after each step.

  Returns:
    What went wrong, in one line; None where the run has its result.

  Raises:
    Interrupted: as `stop` said so; the state is saved.
  """
  display = Polling(poll)
  try:
    loop.train(config, path, progress=lambda _: display, stop=stop)
  except Interrupted:
    raise
  except Exception as error:  # Of this run alone: the others go on.
    return in_one_line(error)
  return None


def in_one_line(error: BaseException) -> str:
  """What an exception says; its type too, where it was not made for people."""
  text = errors.one_line(str(error))
  return text if isinstance(error, ValueError) and text else errors.typed(error)


class Polling(progress_bar.Progress):
  """Shows nothing, but calls a function after each step."""

  def __init__(self, poll: Callable[[], None]):
    """Takes the function."""
    self._poll = poll

  def step(self, step: int, values: Mapping[str, float]) -> None:
    """Calls it."""
    self._poll()
