"""Tunings: the outcome at each learning rate of a grid, for one arm or several.

A tuning is a table with 'rate', 'seed' and the outcome; with 'arm', where arms
are tuned each.
"""

import pandas as pd

from normlab.analysis import claims


def best_rates(
  tuning: pd.DataFrame, *, by: str = 'accuracy'
) -> dict[str | None, float]:
  """The rate with the highest mean over seeds, by arm.

  Args:
    tuning: of one arm, without 'arm', or of several.
    by: its outcome.

  Returns:
    Arm to rate; None stands for the one arm.
  """
  return {arm: float(means(own, by).idxmax()) for arm, own in by_arm(tuning)}


def present(tuning: pd.DataFrame, *, by: str = 'accuracy') -> pd.DataFrame:
  """One row an arm and learning rate, as text; the best are marked."""
  rows = []
  for arm, own in by_arm(tuning):
    mean = means(own, by)
    for rate, values in own.groupby('rate')[by]:
      low, high = (text(value, by, 1) for value in (values.min(), values.max()))
      rows.append(
        {
          **({} if arm is None else {'network': arm}),
          'learning rate': f'{rate:g}',
          f'{by.replace("_", " ")} at the end': text(mean[rate], by, 2),
          'lowest and highest seed': f'{low}{claims.NOTHING}{high}',
          'seeds': len(values),
          '': 'taken' if rate == mean.idxmax() else '',
        }
      )
  return pd.DataFrame(rows)


def means(own: pd.DataFrame, by: str) -> pd.Series:
  """The mean over seeds of the tuning of one arm, by rate."""
  return own.groupby('rate')[by].mean()


def by_arm(tuning: pd.DataFrame) -> list[tuple[str | None, pd.DataFrame]]:
  """The tuning of each arm, in the order of the table."""
  if 'arm' not in tuning:
    return [(None, tuning)]
  return list(tuning.groupby('arm', sort=False))


def text(value: float, by: str, digits: int) -> str:
  """An outcome in its unit."""
  return (
    f'{value:.{digits}%}' if 'accuracy' in by else f'{value:.{digits + 2}g}'
  )
