"""Time estimates of runs, from a few steps of one of them."""

import contextlib
import os
from collections.abc import Iterator, Sequence

import ml_collections

from normlab.sweeps.runners.interface import Estimate, Runs
from normlab.training import estimate


def one_by_one(runs: Runs, at_a_time: float = 1) -> Estimate:
  """Compiles the first of some runs alone, and times its steps.

  Args:
    runs: of one program, but for numbers.
    at_a_time: runs beside each other, as fast as one alone.
  """
  first: ml_collections.ConfigDict = next(iter(runs.values()))
  found = estimate.measure(first)
  steps = sum(config.total_steps for config in runs.values())
  return Estimate(found.compiling, steps * found.step / at_a_time)


@contextlib.contextmanager
def kept_to(cores: Sequence[int]) -> Iterator[None]:
  """Keeps all threads of this process to some cores; none are all."""
  if not cores or not os.path.isdir('/proc/self/task'):
    yield
    return
  before = os.sched_getaffinity(0)
  keep_threads_to(cores)
  try:
    yield
  finally:
    keep_threads_to(before)


def keep_threads_to(cores: Sequence[int]) -> None:
  """Keeps the threads that this process has now to some cores."""
  for thread in os.listdir('/proc/self/task'):
    with contextlib.suppress(ProcessLookupError):  # It has ended.
      os.sched_setaffinity(int(thread), cores)
