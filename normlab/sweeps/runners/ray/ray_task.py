"""The task that a worker of a Ray cluster carries out: it trains one run."""

import signal
import threading
import time
from collections.abc import Iterator

import ml_collections

from normlab import records
from normlab.runtime.interruption import Interrupted
from normlab.sweeps.runners.alone import train_run

# Seconds that a run waits for another process to leave its folder: that of a
# node that is held for dead may live a little longer.
LOCK_PATIENCE = 120.0


def train_task(
  config: ml_collections.ConfigDict, path: str
) -> Iterator[str | None]:
  """Trains a run in a folder, given by its absolute path.

  Yields:
    None when the run starts; when it has ended what went wrong, or None.
  """
  told = threading.Event()
  # Ray interrupts the main thread of a task that it cancels.
  signal.signal(signal.SIGINT, lambda *_: told.set())
  wait_until_free(records.Record(path), told)
  yield None
  try:
    yield train_run(config, path, told.is_set)
  except Interrupted as interrupted:
    yield str(interrupted)


def wait_until_free(record: records.Record, told: threading.Event) -> None:
  """Waits until no other process trains in the folder, but not for ever."""
  deadline = time.monotonic() + LOCK_PATIENCE
  while time.monotonic() < deadline and not told.is_set():
    try:
      with record.locked():
        return
    except records.InUseError:
      told.wait(0.5)
    except records.RecordError:
      return  # Training says so.
