"""Trains runs that differ in numbers alone as one compiled program."""

import gc
import sys
from collections.abc import Iterator

import jax

from normlab.sweeps.runners.alone import OneProcess, in_one_line
from normlab.sweeps.runners.interface import Ended, Estimate, Runs, Watch
from normlab.sweeps.runners.stacked import (
  stackable,
  stacked_estimate,
  stacked_run,
)

# Each has its files open, of which a process may have a thousand.
MOST_MEMBERS = 64


class Vectorized:
  """Groups of runs, one group after the other, on all devices here.

  Which runs make a group, `stackable` says; the others are trained one after
  another.
  """

  def __init__(self, max_members: int | None = None):
    """Starts nothing yet.

    Args:
      max_members: runs in a group at most; None is `MOST_MEMBERS`.
    """
    self._most = max_members or MOST_MEMBERS

  def describe(self) -> str:
    """In words."""
    number = jax.local_device_count()
    where = 'one device' if number == 1 else f'{number} devices'
    return f'runs of one program as one, on {where}'

  def estimate(self, group: Runs) -> Estimate:
    """How long some runs of one program would take."""
    return stacked_estimate.as_one(group, self._most)

  def check(self, runs: Runs) -> None:
    """Everything that a run needs is here."""

  def train(self, runs: Runs, watch: Watch) -> Iterator[Ended]:
    """Trains each run; see `interface.Runner`."""
    for group in stackable.groups(runs, most=self._most):
      yield from train_group(group, watch)


def train_group(runs: Runs, watch: Watch) -> Iterator[Ended]:
  """Trains runs that can be stacked; in halves where they are too many.

  What fails in the program of all, for want of memory say, is tried with half
  of the members, and at last with each alone.
  """
  if watch.stop():
    return
  if len(runs) == 1:
    yield from OneProcess().train(runs, watch)
    return
  left = dict(runs)
  try:
    for ended in stacked_run.train(runs, watch):
      del left[ended.path]
      yield ended
    return
  except Exception as error:
    problem = in_one_line(error)
  gc.collect()  # What the error has kept on the devices.
  if not left:
    return
  print(
    f'warning: {len(left)} runs could not be trained as one program, and are '
    f'now in two parts: {problem}',
    file=sys.stderr,
    flush=True,
  )
  for part in stackable.even_parts(left, -(-len(left) // 2)):
    yield from train_group(part, watch)
