"""What is measured of each run, and its table for people."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from experiments.valley import quadratic
from experiments.valley.runs import ARMS, LINEAR
from normlab.analysis import outcomes, tables
from normlab.analysis.outcomes import spread
from normlab.records import Record

# Rows of a curve: one for each factor of this in steps.
FACTOR = 1.05


def measure(record: Record) -> pd.DataFrame:
  """The 'training_loss' by the number of updates before it.

  Of thousands of rows, those on a logarithmic grid, and the first at which the
  loss has fallen to 1%.
  """
  loss = tables.training(record)['train_loss'].rename('training_loss')
  loss.index -= 1  # The row of a step has the loss before its update.
  last = max(loss.index[-1], 1) if len(loss) else 1
  exponents = np.arange(1 + math.log(last, FACTOR))
  kept = {0, *np.floor(FACTOR**exponents).astype(int), arrival(loss)}
  return loss[loss.index.isin(kept)].to_frame()


def arrival(loss: pd.Series) -> float:
  """The first number of updates with at most 1% of the loss at the start.

  The smallest loss is zero: the targets are linear in the features.

  Args:
    loss: by the number of updates, from 0 on.

  Returns:
    Infinite if there is none.
  """
  there = (
    loss.index[loss <= quadratic.SHARE * loss.iloc[0]] if len(loss) else ()
  )
  return float(there[0]) if len(there) else math.inf


def further_outcomes(run: pd.DataFrame) -> Mapping[str, float]:
  """'updates_to_1_percent', 'condition_number', and the bound 'most_updates'.

  Updates are infinite of a run that does not arrive, or diverged. The condition
  number is that of the linear model; the bound, of no other, is NaN elsewhere.
  """
  loss = run.set_index('step')['training_loss'].dropna()
  condition_number = float(run['condition_number'].iloc[0])
  return {
    'updates_to_1_percent': math.inf
    if outcomes.has_diverged(run)
    else arrival(loss),
    'condition_number': condition_number,
    'most_updates': math.ceil(quadratic.most_steps(condition_number))
    if run['arm'].iloc[0] in LINEAR
    else math.nan,
  }


def present(found: pd.DataFrame, target: float | None) -> pd.DataFrame:
  """One row an arm: medians and ranges over its seeds.

  Args:
    found: the outcomes, one row a run, by arm and seed.
    target: there is none.
  """
  del target
  rows = []
  for arm in ARMS:
    own = found.loc[arm]
    rows.append(
      {
        'features, model': arm,
        'seeds': len(own),
        'condition number': spread(own['condition_number'], '{:,.0f}'),
        'steps to 1% of the loss': spread(own['updates_to_1_percent']),
        'at most, from any start': spread(own['most_updates']),
        'variance explained at the end': spread(own['accuracy'], '{:.1%}'),
      }
    )
  return pd.DataFrame(rows)
