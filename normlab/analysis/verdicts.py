"""Verdicts: exact intervals over seeds, against margins declared before.

Two arms are compared by all pairs of their seeds. Without the k smallest and
the k largest, the ratios or differences of the pairs span the interval of
Hodges and Lehmann, which needs no distribution: k is of the null distribution
of the Mann-Whitney U, and each end is missed with at most 5% probability.
"""

import enum
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

# Largest probability that the true value lies beyond one end of an interval.
MISS = 0.05


class Verdict(enum.StrEnum):
  """What an interval says about a claim."""

  HOLDS = 'holds'
  FAILS = 'does not hold here'
  INCONCLUSIVE = 'inconclusive'


class Interval(NamedTuple):
  """An estimate and its exact interval.

  Attributes:
    estimate: the median of the pairs, or a share; NaN where most pairs compare
      two times that were never reached.
    low: lower end; minus infinity (0 for a ratio) where the seeds are too few.
    high: upper end; infinity where the seeds are too few.
  """

  estimate: float
  low: float
  high: float

  def verdict(self, relation: str, margin: float) -> Verdict:
    """Whether the whole interval is on one side of a margin.

    Args:
      relation: '<' or '>', the side on which the claim says that the value is.
      margin: no part of that side.
    """
    if relation == '<':
      holds, fails = self.high < margin, self.low >= margin
    else:
      holds, fails = self.low > margin, self.high <= margin
    if holds:
      return Verdict.HOLDS
    return Verdict.FAILS if fails else Verdict.INCONCLUSIVE


def ratios(
  times: Sequence[float], others: Sequence[float], *, grid: float = 0
) -> Interval:
  """How many times as long one arm takes as another.

  Args:
    times: of the seeds of the first arm, above 0; infinite if never reached.
    others: of the seeds of the second arm.
    grid: evaluations are this far apart; a time may be shorter by as much.

  Returns:
    The interval of the ratio first / second. Never / finite is infinite,
    finite / never is 0, and never / never 0 for the lower and infinite for the
    upper end.
  """
  a, b = _pairs(times, others)
  with np.errstate(divide='ignore', invalid='ignore'):
    # A time within the first interval may be as short as nothing.
    low = np.nan_to_num(np.maximum(a - grid, 0) / b, nan=0, posinf=np.inf)
    high = np.nan_to_num(a / np.maximum(b - grid, 0), nan=np.inf, posinf=np.inf)
    middle = a / b
  # The median under both readings of never / never, where they agree.
  least, most = (
    float(np.median(np.nan_to_num(middle, nan=never, posinf=np.inf)))
    for never in (0, np.inf)
  )
  estimate = least if least == most else math.nan
  return _interval(low, high, estimate, len(times), len(others), 0.0)


def differences(values: Sequence[float], others: Sequence[float]) -> Interval:
  """By how much the numbers of one arm exceed those of another.

  A number that is not known (NaN) may be any.
  """
  a, b = _pairs(values, others)
  with np.errstate(invalid='ignore'):
    found = a - b
  estimate = float(np.median(found)) if found.size else math.nan
  low, high = (np.where(np.isnan(found), x, found) for x in (-np.inf, np.inf))
  return _interval(low, high, estimate, len(values), len(others), -math.inf)


def share(successes: int, count: int) -> Interval:
  """A share of seeds, with the interval of Clopper and Pearson."""
  if not count:
    return Interval(math.nan, 0.0, 1.0)
  found = stats.binomtest(successes, count).proportion_ci(1 - 2 * MISS)
  return Interval(successes / count, float(found.low), float(found.high))


def combined(verdicts: Sequence[Verdict]) -> Verdict:
  """The verdict on a claim of several parts: all must hold, one can fail it."""
  if Verdict.FAILS in verdicts:
    return Verdict.FAILS
  if verdicts and set(verdicts) == {Verdict.HOLDS}:
    return Verdict.HOLDS
  return Verdict.INCONCLUSIVE


def dropped(n: int, m: int) -> int | None:
  """Pairs to drop at each end: the largest k with P(U <= k) <= `MISS`.

  Args:
    n: seeds of one arm.
    m: seeds of the other.

  Returns:
    k; None where even the extreme pairs are no interval: too few seeds.
  """
  counts = rank_orders(n, m)
  beyond = np.cumsum(counts, dtype=object)
  allowed = MISS * math.comb(n + m, n)
  k = sum(bool(total <= allowed + 1e-9) for total in beyond) - 1
  return None if k < 0 else k


def rank_orders(n: int, m: int) -> list[int]:
  """Of the orders of n and m distinct values, how many have U = 0, 1, .., n m.

  Mann and Whitney 1947: U counts the pairs in which the first is larger. The
  counts are the coefficients of the Gaussian binomial.
  """
  counts = [1] + [0] * (n * m)
  for i in range(1, n + 1):
    # Multiplies by 1 - q^(m + i), then divides by 1 - q^i.
    for u in range(n * m, m + i - 1, -1):
      counts[u] -= counts[u - m - i]
    for u in range(i, n * m + 1):
      counts[u] += counts[u - i]
  return counts


def _pairs(
  first: Sequence[float], second: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
  pairs = np.meshgrid(np.float64(first), np.float64(second))
  return tuple(part.ravel() for part in pairs)


def _interval(
  low: np.ndarray,
  high: np.ndarray,
  estimate: float,
  n: int,
  m: int,
  least: float,
) -> Interval:
  """The interval of pairs whose values are known between two bounds."""
  k = dropped(n, m)
  if k is None:
    return Interval(estimate, least, math.inf)
  return Interval(
    estimate, float(np.sort(low)[k]), float(np.sort(high)[::-1][k])
  )
