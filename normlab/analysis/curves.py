"""Curves: steps to match, and the range of a swept value that works."""

import math

import pandas as pd


def steps_to_match(run: pd.DataFrame, target: float) -> float:
  """The first evaluated step at which a run has at least `target` accuracy.

  Args:
    run: the evaluations of one seed.

  Returns:
    The step; infinity for a run that never gets there.
  """
  # The mean of three times 0.8 is not 0.8 in floating point.
  reached = run.loc[run['accuracy'] >= target - 1e-9, 'step']
  return float(reached.min()) if len(reached) else math.inf


def usable_range(accuracy: pd.Series, *, floor: float) -> tuple[float, float]:
  """The values around the best one at which accuracy is high enough.

  Args:
    accuracy: in [0, 1], by the value that was swept; NaN where training failed.
    floor: the lowest accuracy that is.

  Returns:
    The lowest and the highest value such that all values between have at least
    `floor`; NaN twice where the best has not.
  """
  ordered = accuracy.sort_index()
  # A rounding error must not decide; see `steps_to_match`.
  good = (ordered >= floor - 1e-9).tolist()
  if not any(good):
    return math.nan, math.nan
  low = high = ordered.index.get_loc(ordered.idxmax())
  while low > 0 and good[low - 1]:
    low -= 1
  while high < len(good) - 1 and good[high + 1]:
    high += 1
  return float(ordered.index[low]), float(ordered.index[high])
