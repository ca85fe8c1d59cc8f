"""Outcomes of runs: numbers by arm and seed, out of the rows of their table."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd

from normlab.analysis import curves

# Evaluations at the end that an accuracy is the mean of: never the best of a
# run, which rises with the number of evaluations and with their noise.
LAST = 3
NOTHING = '\N{EN DASH}'


def outcomes(table: pd.DataFrame, *, target: float | None) -> pd.DataFrame:
  """What came of each run.

  Args:
    table: one row per run and step, from `tables.evaluations`.
    target: accuracy in [0, 1] that steps are counted to; None counts none.

  Returns:
    One row a run, by 'arm' and 'seed', in the order of the table:
    'steps_to_match', if there is a target, the first evaluated step with at
    least that, infinite if there is none or the run diverged; 'accuracy' and
    'loss', means of the last three evaluations, 0 and infinite of a run that
    diverged; 'diverged_at', NaN if it did not.
  """

  def of_run(run: pd.DataFrame) -> dict[str, float]:
    found = {
      'accuracy': final_accuracy(run),
      'loss': final(run, 'loss', diverged=math.inf),
      'diverged_at': run['diverged_at'].iloc[0],
    }
    if target is None:
      return found
    steps = curves.steps_to_match(run, target)
    return {'steps_to_match': math.inf if has_diverged(run) else steps, **found}

  return by_run(table, of_run)


def by_run(
  table: pd.DataFrame, of_run: Callable[[pd.DataFrame], Mapping[str, Any]]
) -> pd.DataFrame:
  """One row a run, by 'arm' and 'seed', in the order of the table.

  Args:
    table: one row per run and step.
    of_run: from the rows of a run, its columns.
  """
  runs = table.groupby(['arm', 'seed'], sort=False)
  found = {key: of_run(run) for key, run in runs}
  return pd.DataFrame.from_dict(found, orient='index').rename_axis(
    ['arm', 'seed']
  )


def final_accuracy(run: pd.DataFrame) -> float:
  """The mean of the last three evaluations; 0 of a run that diverged."""
  return final(run, 'accuracy', diverged=0.0)


def final(run: pd.DataFrame, metric: str, *, diverged: float) -> float:
  """The mean of a metric over the last three rows of a run that have it.

  Args:
    run: one row a step.
    metric: its column.
    diverged: what a run has that diverged.
  """
  if has_diverged(run):
    return diverged
  return float(run.sort_values('step')[metric].dropna().tail(LAST).mean())


def has_diverged(run: pd.DataFrame) -> bool:
  """Whether a run ended so."""
  return bool(run['diverged_at'].notna().any())


def evaluation_grid(table: pd.DataFrame) -> float:
  """The largest distance between two evaluations of a run, in steps."""
  steps = sorted({0, *table.dropna(subset='accuracy')['step']})
  gaps = (b - a for a, b in zip(steps, steps[1:], strict=False))
  # Runs that all diverged before their first evaluation have none.
  return float(max(gaps, default=0))


def spread(values: Iterable[float], form: str = '{:,.0f}') -> str:
  """Median and range as text: '350 (300–400)', '1,200 (950–never)'.

  Args:
    values: one a seed; infinite for never, NaN for undecided.
    form: how to write a number.
  """

  def text(value: float) -> str:
    if math.isnan(value):
      return NOTHING
    return form.format(value) if math.isfinite(value) else 'never'

  ordered = sorted(values)
  low, middle, high = map(
    text, (ordered[0], statistics.median(ordered), ordered[-1])
  )
  if low == high:
    return middle
  return f'{middle} ({low}{NOTHING}{high})'
