"""What each norm bears: pure functions of the outcomes."""

import math

import pandas as pd

from experiments.base import CHANCE
from normlab.analysis import curves
from normlab.analysis.outcomes import NOTHING, spread

# Below a norm's own best, in accuracy: its usable range is where it is closer.
TOLERANCE = 0.01
# The loss of guessing, which stands for that of a run that diverged, or is
# worse: a bound on what a bad rate can cost (2309.14322, section 2).
CHANCE_LOSS = math.log(1 / CHANCE)


def cells(outcomes: pd.DataFrame) -> pd.DataFrame:
  """One row a norm and multiplier: the runs of a cell, over seeds.

  Args:
    outcomes: one row a run, by arm and seed.

  Returns:
    By 'norm' and 'multiplier': 'accuracy', the median, 0 if a seed diverged;
    'low' and 'high', the range over seeds; 'diverged', how many; 'seeds';
    'loss', the mean, bounded by that of guessing; 'steps', the median to match,
    infinite if most never do.
  """
  arms = outcomes.index.get_level_values('arm')
  keys = [arm.rsplit(' x', 1) for arm in arms]
  runs = outcomes.assign(
    norm=[norm for norm, _ in keys],
    multiplier=[float(multiplier) for _, multiplier in keys],
    loss=outcomes['loss'].clip(upper=CHANCE_LOSS).fillna(CHANCE_LOSS),
  ).groupby(['norm', 'multiplier'], sort=False)
  diverged = runs['diverged_at'].count()
  return pd.DataFrame(
    {
      # One seed that diverges takes the multiplier out of every range.
      'accuracy': runs['accuracy'].median().where(diverged == 0, 0.0),
      'low': runs['accuracy'].min(),
      'high': runs['accuracy'].max(),
      'diverged': diverged,
      'seeds': runs.size(),
      'loss': runs['loss'].mean(),
      'steps': runs['steps_to_match'].median(),
    }
  )


def ranges(outcomes: pd.DataFrame) -> pd.DataFrame:
  """One row a norm: where it works, and how well.

  Args:
    outcomes: one row a run, by arm and seed.

  Returns:
    By norm: 'best' and 'best_multiplier', of the highest median accuracy;
    'usable_low' and 'usable_high', the multipliers around it within `TOLERANCE`
    of it; 'beats_low' and 'beats_high', those around it at which the norm is
    above the best of the network without one, NaN where it is nowhere;
    'sensitivity', the mean over the grid of the loss beyond the norm's best
    (2309.14322).
  """
  by_cell = cells(outcomes)
  without = by_cell.loc['none', 'accuracy'].max()
  rows = {}
  for norm, own in by_cell.groupby('norm', sort=False):
    own = own.droplevel('norm').sort_index()
    accuracy = own['accuracy']
    usable = curves.usable_range(accuracy, floor=accuracy.max() - TOLERANCE)
    above = accuracy.where(accuracy > without)
    beats = curves.usable_range(above, floor=without)
    rows[norm] = {
      'best': accuracy.max(),
      'best_multiplier': accuracy.idxmax(),
      'usable_low': usable[0],
      'usable_high': usable[1],
      'beats_low': beats[0],
      'beats_high': beats[1],
      'sensitivity': (own['loss'] - own['loss'].min()).mean(),
    }
  return pd.DataFrame.from_dict(rows, orient='index').rename_axis('norm')


def present(outcomes: pd.DataFrame, target: float) -> pd.DataFrame:
  """One row a norm, as text.

  Args:
    outcomes: one row a run, by arm and seed.
    target: the accuracy that steps are counted to.
  """
  by_cell = cells(outcomes)
  grid = sorted(by_cell.index.get_level_values('multiplier').unique())
  rows = []
  for norm, own in ranges(outcomes).iterrows():
    best = outcomes.loc[f'{norm} x{own["best_multiplier"]:g}']
    steps = by_cell.loc[norm, 'steps']
    rows.append(
      {
        'norm': norm,
        'best accuracy': f'{spread(best["accuracy"], "{:.1%}")} '
        f'at x{own["best_multiplier"]:g}',
        'within 1 point of it': range_text(own, 'usable', grid),
        'above the best without a norm': range_text(own, 'beats', grid),
        'sensitivity': f'{own["sensitivity"]:.2f}',
        f'fewest steps to {target:.1%}': 'never'
        if math.isinf(steps.min())
        else f'{steps.min():,.0f} at x{steps.idxmin():g}',
      }
    )
  return pd.DataFrame(rows)


def range_text(own: pd.Series, kind: str, grid: list[float]) -> str:
  """The lowest and highest multiplier; with a sign where the grid ends first.

  Args:
    own: a row of `ranges`.
    kind: 'usable' or 'beats'.
    grid: the multipliers, rising.
  """
  low, high = own[f'{kind}_low'], own[f'{kind}_high']
  if math.isnan(low):
    return NOTHING
  if low == high:
    return f'x{low:g}'
  is_open = low == grid[0] or high == grid[-1]
  factor = f'{"≥ " if is_open else ""}{high / low:,.0f}'
  return f'x{low:g} to x{high:g} (factor {factor})'
