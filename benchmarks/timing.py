"""Timing side by side: all candidates in turn, again and again, in one process.

Machines are noisy and drift. Times of one round share the same weather, so
ratios hold where seconds do not.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

# Between two turns: PyTorch's threads spin for a while after a call, and the
# next candidate must not pay for that.
PAUSE = 0.005


@dataclasses.dataclass(frozen=True)
class Stepper:
  """A computation to be timed: a step of training, or a call of a layer.

  Attributes:
    call: starts the next steps, and returns a result to wait for.
    wait: is given the last result; returns when it is there.
    steps: number of steps per call.
    program_text: the compiled program of a call, as XLA writes it.
  """

  call: Callable[[], Any]
  wait: Callable[[Any], object] = jax.block_until_ready
  steps: int = 1
  program_text: Callable[[], str] | None = None

  def run(self, steps: int) -> int:
    """Makes at least so many steps, waits for the last; returns how many."""
    calls = -(-steps // self.steps)
    for _ in range(calls):
      result = self.call()
    self.wait(result)
    return calls * self.steps


def side_by_side(
  steppers: Mapping[str, Stepper], *, rounds: int, steps: int = 1
) -> dict[str, float]:
  """Median seconds per step of each, after one round that compiles.

  Args:
    steps: of a turn, at least.
  """
  times: dict[str, list[float]] = {who: [] for who in steppers}
  for _ in range(rounds + 1):
    for who, stepper in steppers.items():
      time.sleep(PAUSE)
      start = time.perf_counter()
      made = stepper.run(steps)
      times[who].append((time.perf_counter() - start) / made)
  return {who: statistics.median(values[1:]) for who, values in times.items()}
