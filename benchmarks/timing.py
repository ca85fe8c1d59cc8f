"""Timing side by side: all candidates in turn, again and again, in one process.

Machines are noisy and drift; times of one round share the same weather, so that
ratios hold where seconds do not.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True)
class Stepper:
  """A training loop, to be timed.

  Attributes:
    call: begins the next steps; need not wait for the device.
    wait: returns when all steps are done.
    steps: of a call.
    program_text: the compiled program of a call, as XLA writes it; None where
      it is not asked for.
  """

  call: Callable[[], object]
  wait: Callable[[], object]
  steps: int = 1
  program_text: Callable[[], str] | None = None

  def calls(self, steps: int) -> int:
    """How many calls make at least so many steps."""
    return -(-steps // self.steps)

  def run(self, steps: int) -> None:
    """Makes at least so many steps, and waits for the last."""
    for _ in range(self.calls(steps)):
      self.call()
    self.wait()


def steps_side_by_side(
  steppers: Mapping[str, Stepper], *, rounds: int, steps: int
) -> dict[str, float]:
  """Median seconds a step of each.

  Args:
    steppers: the candidates.
    rounds: how often each gets its turn.
    steps: of a turn, at least.
  """
  turns = {who: lambda s=s: s.run(steps) for who, s in steppers.items()}
  times = side_by_side(turns, rounds=rounds, calls=1)
  return {
    who: times[who] / (stepper.steps * stepper.calls(steps))
    for who, stepper in steppers.items()
  }


def side_by_side(
  candidates: Mapping[str, Callable[[], object]],
  *,
  rounds: int,
  calls: int,
) -> dict[str, float]:
  """Median seconds a call of each candidate.

  Args:
    candidates: what to call; each returns when its work is done.
    rounds: how often each gets its turn.
    calls: calls a turn.
  """
  for candidate in candidates.values():
    candidate()  # Compiles, and warms the caches.
  times: dict[str, list[float]] = {name: [] for name in candidates}
  for _ in range(rounds):
    for name, candidate in candidates.items():
      start = time.perf_counter()
      for _ in range(calls):
        candidate()
      times[name].append((time.perf_counter() - start) / calls)
  return {name: statistics.median(values) for name, values in times.items()}
