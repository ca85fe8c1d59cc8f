"""Analysis of training curves: steps to match, spreads, verdicts.

Pure functions of tables with one row per evaluation; columns 'network', 'seed',
'step' and 'accuracy'. Nothing here reads a file or knows an experiment.
"""

import math
from collections.abc import Iterable

import pandas as pd

HOLDS = 'holds'
FAILS = 'does not hold here'
INCONCLUSIVE = 'inconclusive'


def mean_curve(curves: pd.DataFrame) -> pd.Series:
  """Accuracy by step, averaged over seeds.

  Only steps that every seed reached count: a mean over the survivors of a
  divergence would rise where a run died.
  """
  by_step = curves.groupby('step')['accuracy']
  complete = by_step.count() == curves['seed'].nunique()
  return by_step.mean()[complete]


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


def last_crossing(late: pd.Series, early: pd.Series) -> int | None:
  """The step from which one curve stays above another.

  Args:
    late: accuracy by step, of the curve that ends higher.
    early: accuracy by step, of the other.

  Returns:
    The first step after which `late` is never below or equal; None where it is
    so in the end, or never was before.
  """
  ahead = (late - early).dropna() > 0
  behind = ahead.index[~ahead]
  if not len(behind) or not ahead.iloc[-1]:
    return None
  return int(ahead.index[ahead.index > behind[-1]][0])


def usable_range(
  accuracy: pd.Series, *, tolerance: float = 0.01
) -> tuple[float, float]:
  """The values around the best one at which accuracy is nearly as high.

  Args:
    accuracy: in [0, 1], by the value that was swept; NaN where training failed.
    tolerance: how much lower it may be.

  Returns:
    The lowest and the highest value such that all values between are within
    the tolerance of the best; NaN twice where there is no accuracy.
  """
  ordered = accuracy.sort_index()
  if not ordered.notna().any():
    return math.nan, math.nan
  # A rounding error must not decide; see `steps_to_match`.
  good = (ordered >= ordered.max() - tolerance - 1e-9).tolist()
  low = high = ordered.index.get_loc(ordered.idxmax())
  while low > 0 and good[low - 1]:
    low -= 1
  while high < len(good) - 1 and good[high + 1]:
    high += 1
  return float(ordered.index[low]), float(ordered.index[high])


def verdict(by_seed: Iterable[bool]) -> str:
  """Holds if every seed agrees, fails if every seed disagrees.

  With n seeds a claim without any truth to it holds by chance with probability
  2^-n at most; without a seed nothing is concluded.
  """
  outcomes = [bool(outcome) for outcome in by_seed]
  if not outcomes:
    return INCONCLUSIVE
  if all(outcomes):
    return HOLDS
  return INCONCLUSIVE if any(outcomes) else FAILS


def spread(
  values: Iterable[float],
  form: str = '{:.0f}',
  counted: Iterable[bool] | None = None,
) -> str:
  """Mean and range over seeds, as text: '350 (300-400) in 2 of 3 seeds'.

  Args:
    values: one a seed.
    counted: which values to average; default: the finite ones. The others are
      runs that never got there.
  """
  values = list(values)
  counted = map(math.isfinite, values) if counted is None else counted
  kept = [value for value, keep in zip(values, counted, strict=True) if keep]
  if not kept:
    return 'never'
  mean = form.format(sum(kept) / len(kept))
  low, high = form.format(min(kept)), form.format(max(kept))
  text = mean if low == high else f'{mean} ({low}\N{EN DASH}{high})'
  if len(kept) < len(values):
    text += f' in {len(kept)} of {len(values)} seeds'
  return text
