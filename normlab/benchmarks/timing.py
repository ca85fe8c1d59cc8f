"""Timing side by side: all candidates in turn, again and again, in one process.

Machines are noisy and drift; times of one round share the same weather, so that
ratios hold where seconds do not.
"""

import statistics
import time
from collections.abc import Callable, Mapping


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
