"""How long a group of runs would take as one program, from a few steps of it."""

import statistics
import time

import jax

from normlab import dry_run, run
from normlab.sweeps import estimates, stackable
from normlab.sweeps.runner import Estimate, Runs
from normlab.sweeps.stack import Stack
from normlab.sweeps.stacked_member import on_one_device

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
  with dry_run.without_cache():
    stack = new_stack(part)
    config = next(iter(part.values()))
    count = min(run.steps_per_call(config), config.total_steps)
    times = []
    for _ in range(CALLS + 1):
      start = time.monotonic()
      means = stack.run_steps(0, count)
      jax.block_until_ready(means)
      times.append(time.monotonic() - start)
  call = statistics.median(times[1:])
  calls = config.total_steps / count
  return Estimate(max(0.0, times[0] - call), len(parts) * calls * call)


def new_stack(runs: Runs) -> Stack:
  """The stack of some runs of one program before their first step."""
  ready: list[run.Run] = []
  for config in runs.values():
    config = on_one_device(config)
    ready.append(run.prepare(config, ready[0] if ready else None))
  # Initial parameters of one stand for all: they are not what takes the time.
  state = run.initial_state(ready[0])
  return Stack(ready, [state] * len(ready))
