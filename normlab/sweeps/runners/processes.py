"""Trains runs in parallel, in processes that each have a share of the machine.

A small network does not fill two cores: two runs on a core each end sooner than
one after the other on both.
"""

import collections
import contextlib
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from multiprocessing import connection
from typing import TypeVar

import jax

from normlab.runtime import machine
from normlab.sweeps.runners.interface import Ended, Runner, Runs, Watch
from normlab.sweeps.runners.worker import Share, Worker

T = TypeVar('T')

# Seconds between two looks at the runs.
POLL_EVERY = 0.25
# Seconds that runs have to save their states; less than the process itself has
# (`interruption.PATIENCE`).
PATIENCE = 6.0


class LocalProcesses(Runner):
  """A pool of processes, each kept to some cores or to one GPU.

  They share the compilation cache, and within a process runs with equal
  programs compile once. A process that dies takes one run with it, which has
  failed then, and is replaced.
  """

  def __init__(self, processes: int | None = None):
    """Starts nothing yet; None is one process per core, or per GPU."""
    self._processes = processes

  def describe(self) -> str:
    """In words."""
    number = self._processes or default_processes()
    return f'{number} at a time, a process each'

  def train(self, runs: Runs, watch: Watch) -> Iterator[Ended]:
    """Trains each run; see `interface.Runner`."""
    waiting = collections.deque(runs.items())
    number = min(self._processes or default_processes(), len(runs))
    with ending([Worker(share) for share in shares(number)]) as workers:
      while waiting or any(w.path for w in workers):
        for one in workers:
          if waiting and one.path is None:
            path, config = waiting.popleft()
            one.give(path, config)
            watch.started(path)
        connection.wait([w.connection for w in workers if w.path], POLL_EVERY)
        watch.poll()
        if watch.stop():
          return
        yield from (w.take() for w in workers if w.has_ended())


@contextlib.contextmanager
def ending(workers: list[Worker]) -> Iterator[list[Worker]]:
  """Ends the processes with the block: they save what they have, in seconds."""
  try:
    yield workers
  finally:
    for one in workers:
      one.end()
    deadline = time.monotonic() + PATIENCE
    for one in workers:
      one.join(deadline - time.monotonic())


def default_processes() -> int:
  """One a usable core on CPU; one per GPU."""
  if jax.default_backend() == 'cpu':
    return len(machine.usable_cores())
  return jax.local_device_count()


def shares(processes: int) -> list[Share]:
  """The part of the machine that each process may use.

  Each core, or GPU, goes to one process; more processes than there are share.
  """
  if jax.default_backend() == 'cpu':
    parts = dealt(machine.usable_cores(), processes)
    return [Share(cores=tuple(part)) for part in parts]
  parts = dealt(visible_gpus(jax.local_device_count()), processes)
  return [Share(gpu=','.join(part)) for part in parts]


def dealt(items: Sequence[T], hands: int) -> list[list[T]]:
  """The items in equal parts, as far as that goes, none of them empty."""
  if hands >= len(items):
    return [[items[i % len(items)]] for i in range(hands)]
  ends = [len(items) * i // hands for i in range(hands + 1)]
  return [list(items[first:last]) for first, last in itertools.pairwise(ends)]


def visible_gpus(count: int) -> list[str]:
  """The names of the GPUs that this process sees, for CUDA_VISIBLE_DEVICES."""
  named = os.environ.get('CUDA_VISIBLE_DEVICES', '').split(',')
  known = [name.strip() for name in named if name.strip()]
  return known[:count] if len(known) >= count else list(map(str, range(count)))
