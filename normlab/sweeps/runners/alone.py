"""Trains runs one after another in this process.

Runs with equal programs (`programs.Program`) compile once.
"""

from collections.abc import Callable, Iterator

import ml_collections

from normlab import errors, own_code
from normlab.runtime import progress_bar
from normlab.runtime.interruption import Interrupted
from normlab.sweeps.runners.interface import Ended, Runner, Runs, Watch
from normlab.training import loop


class OneProcess(Runner):
  """One run after another, on all devices of this process."""

  def describe(self) -> str:
    """In words."""
    return 'one after another in one process'

  def train(self, runs: Runs, watch: Watch) -> Iterator[Ended]:
    """Trains each run; see `interface.Runner`."""

    def stop() -> bool:
      watch.poll()
      return watch.stop()

    for path, config in runs.items():
      if watch.stop():
        return
      watch.started(path)
      try:
        yield Ended(path, train_run(config, path, stop))
      except Interrupted:
        return


def train_run(
  config: ml_collections.ConfigDict, path: str, stop: Callable[[], bool]
) -> str | None:
  """Trains a run, as a member of a sweep, perhaps in a process of its own.

  Returns:
    What went wrong, in one line; None where the run has its result.

  Raises:
    Interrupted: `stop` returned True; the state is saved.
  """
  own_code.take_from(config.code_dir)
  try:
    loop.train(
      config, path, progress=lambda _: progress_bar.Progress(), stop=stop
    )
  except Interrupted:
    raise
  except Exception as error:  # Of this run alone: the others go on.
    return errors.summary(error)
  return None
