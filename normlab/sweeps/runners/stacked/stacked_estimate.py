"""The time of a group of runs as one program, from a few steps of it."""

import statistics
import time

import jax

from normlab import validation
from normlab.sweeps.runners import estimates
from normlab.sweeps.runners.interface import Estimate, Runs
from normlab.sweeps.runners.stacked import stackable
from normlab.sweeps.runners.stacked.stacks import Stack
from normlab.training import estimate, preparation

CALLS = 5


def as_one(group: Runs, most: int) -> Estimate:
  """Compiles the program of a group, and times its steps; writes nothing.

  Args:
    group: runs of one program, but for numbers.
    most: members of a stack; a larger group is several, one after another.
  """
  parts = stackable.even_parts(group, most)
  part = max(parts, key=len)
  if len(part) == 1:
    return estimates.one_by_one(group)
  with estimate.without_cache():
    stack = new_stack(part)
    config = next(iter(part.values()))
    count = min(preparation.steps_per_call(config), config.total_steps)
    times = []
    for _ in range(CALLS + 1):
      start = time.monotonic()
      metrics = stack.run_steps(0, count)
      jax.block_until_ready(metrics)
      times.append(time.monotonic() - start)
  call = statistics.median(times[1:])
  calls = config.total_steps / count
  return Estimate(max(0.0, times[0] - call), len(parts) * calls * call)


def new_stack(runs: Runs) -> Stack:
  """The stack of some runs of one program before their first step."""
  ready: list[preparation.Run] = []
  for config in runs.values():
    alone = validation.check(config).but(num_devices=1)
    ready.append(preparation.prepare(alone, ready[0] if ready else None))
  # Initial parameters of one stand for all: they are not what takes the time.
  state = preparation.initial_state(ready[0])
  return Stack(ready, [state] * len(ready))
