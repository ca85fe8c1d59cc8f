import math

import pandas as pd
import pytest

from normlab.analysis import outcomes

INF = math.inf


def evaluations(*accuracies, arm='A', seed=0, diverged_at=math.nan):
  """The rows of a run, evaluated at steps 10, 20, ..."""
  return pd.DataFrame(
    {
      'arm': arm,
      'seed': seed,
      'step': range(10, 10 * len(accuracies) + 10, 10),
      'accuracy': accuracies,
      'loss': [1 - accuracy for accuracy in accuracies],
      'diverged_at': diverged_at,
    }
  )


def test_accuracy_and_loss_are_means_of_the_last_three_evaluations():
  table = evaluations(0.9, 0.1, 0.5, 0.6, 0.7)
  found = outcomes.outcomes(table, target=0.5).loc[('A', 0)]
  assert found['accuracy'] == pytest.approx(0.6)
  assert found['loss'] == pytest.approx(0.4)
  assert outcomes.final_accuracy(table[::-1]) == found['accuracy']
  assert outcomes.final_accuracy(table[:2]) == pytest.approx(0.5)


def test_steps_are_those_of_the_first_evaluation_at_the_target():
  table = pd.concat([evaluations(0.1, 0.5, 0.4), evaluations(0.2, seed=1)])
  found = outcomes.outcomes(table, target=0.5)
  assert found['steps_to_match'].tolist() == [20, INF]


def test_a_run_that_diverged_never_matches_and_ends_at_nothing():
  table = evaluations(0.9, 0.8, 0.1, diverged_at=35.0)
  found = outcomes.outcomes(table, target=0.5).loc[('A', 0)]
  assert found.tolist() == [INF, 0, INF, 35]


def test_rows_that_are_no_evaluation_disturb_nothing():
  table = evaluations(0.9, 0.1, 0.5, 0.6, 0.7)
  measured = table.assign(
    step=table['step'] + 5, accuracy=math.nan, loss=math.nan
  )
  both = pd.concat([table, measured]).sort_values('step')
  assert outcomes.outcomes(both, target=0.5).equals(
    outcomes.outcomes(table, target=0.5)
  )
  assert outcomes.evaluation_grid(both) == outcomes.evaluation_grid(table)


def test_without_a_target_no_steps_are_counted():
  found = outcomes.outcomes(evaluations(0.9), target=None)
  assert list(found) == ['accuracy', 'loss', 'diverged_at']


def test_runs_keep_the_order_of_the_table():
  table = pd.concat(
    [evaluations(0.5, arm='B'), evaluations(0.5), evaluations(0.5, seed=1)]
  )
  found = outcomes.outcomes(table, target=0.5)
  assert list(found.index) == [('B', 0), ('A', 0), ('A', 1)]
  assert found.index.names == ['arm', 'seed']


@pytest.mark.parametrize(
  ('steps', 'grid'),
  [([50, 100, 150], 50), ([100, 120], 100), ([20, 90], 70), ([0], 0)],
)
def test_the_grid_is_the_largest_gap_between_evaluations(steps, grid):
  table = pd.DataFrame({'step': steps, 'accuracy': 0.5})
  assert outcomes.evaluation_grid(table) == grid


@pytest.mark.parametrize(
  ('values', 'form', 'text'),
  [
    ([350, 300, 400], '{:,.0f}', '350 (300–400)'),
    ([1200, INF, 950], '{:,.0f}', '1,200 (950–never)'),
    ([INF, 300, INF], '{:,.0f}', 'never (300–never)'),
    ([INF, INF], '{:,.0f}', 'never'),
    ([300.1, 300.2], '{:,.0f}', '300'),
    ([math.nan], '{:.1f}', '–'),
    ([0.5, 0.6, 0.75], '{:.1%}', '60.0% (50.0%–75.0%)'),
  ],
)
def test_spread_is_median_and_range(values, form, text):
  assert outcomes.spread(iter(values), form) == text
