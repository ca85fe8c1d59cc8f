"""What the probe saw of the last hidden layer, as numbers and as a table."""

import pandas as pd

from experiments.sigmoid_mlp.runs import ARMS
from normlab.analysis.outcomes import spread
from normlab.records import Record

LAST = 'layer3'
# Measurements in succession whose mean counts for the slow drift.
SLOW = 5
# Columns of the table: of the probe `outputs`, in its order.
PERCENTILES = ('p15', 'p50', 'p85')
# Name in the table to that in the probe: one unit, and all of the layer.
OF = {'unit': 'unit_percentiles', 'all': 'percentiles'}


def measure(record: Record) -> pd.DataFrame:
  """By step, 'unit/p15' to 'all/p85' of the input of the last sigmoids."""
  probe = record.probe('outputs')
  parts = [
    pd.DataFrame(
      probe[f'{quantity}/{LAST}'],
      index=probe['step'],
      columns=[f'{whose}/{percentile}' for percentile in PERCENTILES],
    )
    for whose, quantity in OF.items()
  ]
  return pd.concat(parts, axis=1)


def drifts(run: pd.DataFrame) -> dict[str, float]:
  """How far the median moves over training, as a multiple of the spread.

  Args:
    run: the rows of one run, with the columns of `measure`.

  Returns:
    'median_drift' of one unit and 'drift_of_all', of all units, as `drift`;
    'slow_drift' of the unit, without what comes and goes within `SLOW`
    measurements: noise, and the first steps.
  """
  return {
    'median_drift': drift(run, 'unit'),
    'drift_of_all': drift(run, 'all'),
    'slow_drift': drift(run, 'unit', means_of=SLOW),
  }


def drift(run: pd.DataFrame, whose: str, *, means_of: int = 1) -> float:
  """Highest minus lowest 50th percentile, divided by the usual spread.

  The spread is the median over training of the distance from the 15th to the
  85th. The noise of a median of 60 examples moves a drift ratio towards 1.

  Args:
    run: the rows of one run.
    whose: 'unit' or 'all'.
    means_of: 50th percentiles in succession that are averaged first.
  """
  measured = run.dropna(subset=f'{whose}/p50')
  low, middle, high = (measured[f'{whose}/{p}'] for p in PERCENTILES)
  means = middle.rolling(means_of).mean()
  return float((means.max() - means.min()) / (high - low).median())


def present(outcomes: pd.DataFrame, target: float) -> pd.DataFrame:
  """One row an arm: medians and ranges over its seeds.

  Args:
    outcomes: one row a run, by arm and seed.
    target: the accuracy that steps are counted to.
  """
  rows = []
  for name, arm in ARMS.items():
    own = outcomes.loc[name]
    rows.append(
      {
        'network': name,
        'seeds': len(own),
        f'steps to {target:.1%}': spread(own['steps_to_match']),
        'accuracy at the end': spread(own['accuracy'], '{:.1%}'),
        'median drift': spread(own['median_drift'], '{:.2f}'),
        'of all units': spread(own['drift_of_all'], '{:.2f}'),
        'slow drift': spread(own['slow_drift'], '{:.2f}'),
        'paper: steps to 97.2%': f'{arm.paper_steps:,.0f}',
        'paper: accuracy': f'{arm.paper_accuracy:.1%}',
        'paper: median drift': f'{arm.paper_drift:.2f}',
      }
    )
  return pd.DataFrame(rows)
