"""What came of the runs, in numbers and in words: pure functions of a table.

A multiplier works for a norm if no seed diverges; the accuracy there is the
mean over seeds of the best validation accuracy. One diverged seed of three thus
takes a multiplier out of the usable range, however high the others get.
"""

import math

import pandas as pd

from normlab.analysis import curves

# What all are compared with: no norm, at the rate that was tuned for it.
BASELINE = ('none', 1.0)
# Of its own best, in accuracy; the range of a norm is where it is this close.
TOLERANCE = 0.01
# Accuracy of guessing: ten classes, all as frequent.
CHANCE = 0.1


def target_of(table: pd.DataFrame) -> float:
  """The accuracy to match: the best of the baseline's mean curve."""
  norm, multiplier = BASELINE
  own = (table['norm'] == norm) & (table['multiplier'] == multiplier)
  return float(curves.mean_curve(table[own]).max())


def outcomes(table: pd.DataFrame) -> pd.DataFrame:
  """What came of each run.

  Args:
    table: one row an evaluation, from `tables.evaluations`.

  Returns:
    One row a norm, multiplier and seed (the index): 'status';
    'steps_to_match', infinite where it never does; 'best_accuracy', NaN where
    none was measured; 'diverged_at', NaN where it did not.
  """
  target = target_of(table)
  # In the order of the runs: norms as the config lists them.
  runs = table.groupby(['norm', 'multiplier', 'seed'], sort=False)
  return pd.DataFrame(
    {
      'status': runs['status'].first(),
      'steps_to_match': pd.Series(
        {key: curves.steps_to_match(run, target) for key, run in runs}
      ),
      'best_accuracy': runs['accuracy'].max(),
      'diverged_at': runs['diverged_at'].first(),
    }
  ).rename_axis(['norm', 'multiplier', 'seed'])


def cells(table: pd.DataFrame) -> pd.DataFrame:
  """One row a norm and multiplier (the index), from `tables.evaluations`.

  Columns: 'seeds'; 'diverged', how many; 'best_accuracy', 'least_accuracy' and
  'most_accuracy', mean and range over seeds, NaN where one diverged; 'matched',
  how many reach the target, and the 'steps_to_match' of the mean, infinite
  where one never does; 'works', whether all end above twice chance.
  """
  runs = outcomes(table).groupby(['norm', 'multiplier'], sort=False)
  diverged = runs['diverged_at'].count()
  found = pd.DataFrame({'seeds': runs.size(), 'diverged': diverged})
  for name, kind in (('best', 'mean'), ('least', 'min'), ('most', 'max')):
    accuracy = runs['best_accuracy'].agg(kind)
    found[f'{name}_accuracy'] = accuracy.where(diverged == 0)
  steps = runs['steps_to_match']
  found['matched'] = steps.agg(lambda own: int((own < math.inf).sum()))
  found['steps_to_match'] = steps.mean()
  found['works'] = found['least_accuracy'] > 2 * CHANCE
  return found


def ranges(table: pd.DataFrame) -> pd.DataFrame:
  """One row a norm (the index): where it works, and how well.

  Args:
    table: one row an evaluation, from `tables.evaluations`.

  Returns:
    'best_multiplier', of the highest mean accuracy; 'usable_low',
    'usable_high', the multipliers around it within `TOLERANCE`, and
    'usable_factor', their ratio; 'factor_by_seed', a list, of each seed alone;
    'fastest_multiplier', with the lowest mean of the steps to match, NaN where
    no multiplier has all seeds match; 'stops_at', the lowest multiplier above
    the range that does not work, NaN where all do.
  """
  by_cell = cells(table)
  rows = {}
  for norm, own in by_cell.groupby('norm', sort=False):
    own = own.droplevel('norm').sort_index()
    low, high = curves.usable_range(own['best_accuracy'], tolerance=TOLERANCE)
    steps = own['steps_to_match']
    broken = own.index[~own['works'] & ~(own.index <= high)]
    rows[norm] = {
      'best_multiplier': best_multiplier(own),
      'usable_low': low,
      'usable_high': high,
      'usable_factor': high / low,
      'factor_by_seed': factors_by_seed(table[table['norm'] == norm]),
      'fastest_multiplier': steps.idxmin() if steps.min() < math.inf else None,
      'stops_at': broken.min(),
    }
  found = pd.DataFrame.from_dict(rows, orient='index').rename_axis('norm')
  numbers = ['best_multiplier', 'fastest_multiplier', 'stops_at']
  return found.astype(dict.fromkeys(numbers, float))


def best_multiplier(own: pd.DataFrame) -> float:
  """Of the highest mean accuracy; NaN if every multiplier has a divergence."""
  accuracy = own['best_accuracy']
  return float(accuracy.idxmax()) if accuracy.notna().any() else math.nan


def factors_by_seed(table: pd.DataFrame) -> list[float]:
  """The usable factor of each seed alone, of one norm."""
  factors = []
  for _, own in table.groupby('seed'):
    accuracy = own.groupby('multiplier')['accuracy'].max()
    diverged = own.groupby('multiplier')['diverged_at'].count() > 0
    low, high = curves.usable_range(
      accuracy.where(~diverged), tolerance=TOLERANCE
    )
    factors.append(high / low)
  return factors


def analyze(table: pd.DataFrame) -> pd.DataFrame:
  """One row a norm and multiplier, and what follows for the norm beside it.

  Args:
    table: one row an evaluation, from `tables.evaluations`.
  """
  by_norm = ranges(table)
  factors = by_norm.pop('factor_by_seed')
  by_norm['usable_factor_min'] = factors.map(min)
  by_norm['usable_factor_max'] = factors.map(max)
  found = cells(table).join(by_norm, on='norm')
  return found.assign(target=target_of(table)).reset_index()


def present(table: pd.DataFrame) -> pd.DataFrame:
  """The outcomes as text, one row a norm."""
  by_run, by_norm = outcomes(table).sort_index(), ranges(table)
  grid = sorted(table['multiplier'].unique())
  rows = []
  for norm, own in by_norm.iterrows():
    stops = own['stops_at']
    rows.append(
      {
        'norm': norm,
        'seeds': len(own['factor_by_seed']),
        'best accuracy': best_text(by_run.loc[norm], own),
        'usable multipliers': range_text(own),
        'usable range': factor_text(own, grid),
        'by seed': curves.spread(own['factor_by_seed'], '{:.1f}'),
        'steps to match': steps_text(by_run.loc[norm], own),
        'stops working at': 'not on this grid'
        if math.isnan(stops)
        else times(stops),
      }
    )
  return pd.DataFrame(rows)


def best_text(by_run: pd.DataFrame, own: pd.Series) -> str:
  """The highest mean accuracy, its range, and where."""
  best = own['best_multiplier']
  if math.isnan(best):
    return 'no multiplier works'
  accuracy = by_run.loc[best]['best_accuracy']
  return f'{curves.spread(accuracy, "{:.1%}")} at {times(best)}'


def times(multiplier: float) -> str:
  """A multiplier as text."""
  return f'x{multiplier:g}'


def range_text(own: pd.Series) -> str:
  """The lowest and the highest usable multiplier."""
  if math.isnan(own['usable_factor']):
    return 'none'
  return f'{times(own["usable_low"])} to {times(own["usable_high"])}'


def factor_text(own: pd.Series, grid: list[float]) -> str:
  """The factor; with a sign where the grid ends before the range does."""
  factor = own['usable_factor']
  if math.isnan(factor):
    return '\N{EN DASH}'
  is_open = own['usable_low'] == grid[0] or own['usable_high'] == grid[-1]
  text = f'{factor:,.0f}' if factor >= 10 else f'{factor:.2g}'
  return f'\N{GREATER-THAN OR EQUAL TO} {text}' if is_open else text


def steps_text(by_run: pd.DataFrame, own: pd.Series) -> str:
  """The fewest steps to match, and where: 'never' if some seed never does."""
  fastest = own['fastest_multiplier']
  if math.isnan(fastest):
    return 'never by all seeds'
  steps = by_run.loc[fastest]['steps_to_match']
  return f'{curves.spread(steps)} at {times(fastest)}'
