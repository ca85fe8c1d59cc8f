"""Trains runs that differ in numbers alone as one compiled program."""

import gc
import sys
from collections.abc import Iterator

import jax

from normlab import errors
from normlab.sweeps.runners.alone import OneProcess
from normlab.sweeps.runners.interface import Ended, Runner, Runs, Watch
from normlab.sweeps.runners.stacked import stackable, stacked_run

# Each has its files open, of which a process may have a thousand.
MOST_MEMBERS = 64


class Vectorized(Runner):
  """Groups of runs, one group after the other, on all devices here.

  Which runs make a group, `stackable` says; the others are trained one after
  another.
  """

  def describe(self) -> str:
    """In words."""
    number = jax.local_device_count()
    where = 'one device' if number == 1 else f'{number} devices'
    return f'runs of one program as one, on {where}'

  def train(self, runs: Runs, watch: Watch) -> Iterator[Ended]:
    """Trains each run; see `interface.Runner`."""
    for group in stackable.groups(runs, most=MOST_MEMBERS):
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
    problem = errors.summary(error)
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
