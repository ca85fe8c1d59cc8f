"""Figure 1 of the paper on fabricated tables with known answers."""

import json
import math

import fabricated_runs
import numpy as np
import pandas as pd
import pytest

from experiments import sigmoid_mlp
from experiments.sigmoid_mlp import analysis, figure
from experiments.sigmoid_mlp.runs import ARMS, BASELINE, SCALES, config_of

EXPERIMENT = sigmoid_mlp.EXPERIMENT
# The step that the target, 0.7, is reached at, and the accuracy at the end.
PAPER_LIKE = {BASELINE: (800, 0.7), 'BN-Sigmoids': (300, 0.8)}
# How far the median of a unit, whose spread is 2, moves either way.
MOVES = {BASELINE: 1.0, 'BN-Sigmoids': 0.1}


def fabricate(changes=None, moves=MOVES, **kwargs):
  """Percentiles are measured between evaluations, and at the last."""
  table = fabricated_runs.table(
    EXPERIMENT, PAPER_LIKE | (changes or {}), **kwargs
  )
  measured = table.assign(
    step=table['step'] + 25, accuracy=math.nan, loss=math.nan
  )
  move = measured['arm'].map(moves) * (-1) ** (measured['step'] // 500)
  for whose in ('unit', 'all'):
    for percentile, offset in (('p15', -1), ('p50', 0), ('p85', 1)):
      measured[f'{whose}/{percentile}'] = move + offset
  return pd.concat([table, measured]).sort_values('step', kind='stable')


def verdict(table):
  return fabricated_runs.verdicts(EXPERIMENT, table)[6]


def test_the_claim_holds_of_curves_like_the_papers():
  table = fabricate()
  assert verdict(table) == 'holds'
  outcomes = EXPERIMENT.outcomes(table)
  drifts = outcomes['median_drift'].groupby('arm').first()
  assert drifts.to_dict() == {BASELINE: 1.0, 'BN-Sigmoids': pytest.approx(0.1)}
  text = EXPERIMENT.present(outcomes, 0.7).set_index('network')
  assert text.loc['BN-Sigmoids', 'median drift'] == '0.10'
  assert text.loc['BN-Sigmoids', 'steps to 70.0%'] == '300'
  assert len(EXPERIMENT.judge(table)) == 3


@pytest.mark.parametrize(
  ('curves', 'moves'),
  [
    ({'BN-Sigmoids': (900, 0.8)}, MOVES),
    ({'BN-Sigmoids': (300, 0.6)}, MOVES),
    ({}, MOVES | {'BN-Sigmoids': 0.6}),
  ],
)
def test_each_part_of_the_claim_can_fail_it(curves, moves):
  assert verdict(fabricate(curves, moves)) == 'does not hold here'


def test_a_drift_is_the_range_of_the_median_in_units_of_the_spread():
  middle = np.array([0.0, 3.0, 1.0])
  run = pd.DataFrame(
    {'unit/p15': middle - 1, 'unit/p50': middle, 'unit/p85': middle + 3}
  )
  with_evaluations = pd.concat([run, run.loc[[]].reindex([0, 1])])
  assert analysis.drift(with_evaluations, 'unit') == pytest.approx(3 / 4)
  assert analysis.drift(10 + 5 * run, 'unit') == pytest.approx(3 / 4)


def test_what_comes_and_goes_is_no_slow_drift():
  flat = {'unit/p15': -1.0, 'unit/p50': 0.0, 'unit/p85': 1.0}
  run = pd.DataFrame(
    flat | {'all/p15': 0, 'all/p50': 1, 'all/p85': 2}, range(9)
  )
  run.loc[6, 'unit/p50'] = 1.0
  found = analysis.drifts(run)
  assert found['median_drift'] == 0.5 and found['drift_of_all'] == 0
  assert found['slow_drift'] == pytest.approx(0.5 / analysis.SLOW)


def test_the_papers_numbers_are_those_of_its_curves():
  published = json.loads(figure.REFERENCE.read_text())
  accuracy = published['ioffe2015_fig1a_mnist_test_acc_vs_thousand_steps']
  units = published['ioffe2015_fig1bc_percentiles_vs_thousand_steps']
  target = np.mean([value for _, value in accuracy['without_BN'][-3:]])
  for arm in ARMS.values():
    key = arm.curve
    steps, values = figure.in_steps(accuracy[key])
    assert steps[values >= target - 1e-3].min() <= arm.paper_steps
    assert arm.paper_steps == steps[values >= target].min()
    assert np.mean(values[-3:]) == pytest.approx(arm.paper_accuracy, abs=5e-4)
    run = pd.DataFrame(
      {f'unit/{p}': [value for _, value in units[key][p]] for p in units[key]}
    )
    assert analysis.drift(run, 'unit') == pytest.approx(
      arm.paper_drift, rel=0.01
    )


def test_what_the_probe_saw_of_the_last_layer_becomes_columns():
  class Probed:
    def probe(self, name):
      assert name == 'outputs'
      return {
        'step': np.array([0, 200]),
        'percentiles/layer3': np.array([[1, 2, 3], [4, 5, 6]]),
        'unit_percentiles/layer3': np.array([[7, 8, 9], [10, 11, 12]]),
      }

  table = analysis.measure(Probed())
  assert table.index.tolist() == [0, 200]
  assert table['unit/p50'].tolist() == [8, 11]
  assert table['all/p85'].tolist() == [3, 6]


@pytest.mark.parametrize('scale', list(SCALES))
def test_the_network_is_the_papers(scale):
  for arm in ARMS:
    config = config_of(scale, arm, 0)
    assert config.model.widths == (100, 100, 100)
    assert config.batch_size == 60 and config.model.activation == 'sigmoid'
    assert config.probes.names == ('outputs',)
  assert config_of('mnist', BASELINE, 0).total_steps == 50_000


@pytest.mark.filterwarnings('error')
def test_the_figure_has_ours_above_the_papers():
  drawn = EXPERIMENT.plot(EXPERIMENT, fabricate(), 'digits')
  drawn.draw_without_rendering()
  ours, plain, normalized, paper, *_ = drawn.axes
  marks = [line for line in ours.lines if line.get_marker() == 'D']
  assert [line.get_xdata()[0] for line in marks] == [800, 300]
  assert len(plain.lines) == len(normalized.lines) == 3
  assert plain.get_ylim() == normalized.get_ylim()
  assert paper.get_xlim()[1] > 40_000
  assert drawn.get_suptitle() == (
    'Sigmoids: BatchNorm takes 0.38 times the steps, ends 10.0 points higher, '
    'and the input of a unit drifts 0.10 times as far'
  )


@pytest.mark.filterwarnings('error')
def test_where_nothing_arrives_or_is_known_the_title_says_so():
  never = dict.fromkeys(ARMS, (math.inf, 0.1))
  odd = {(arm, seed): (math.inf, 0.05) for arm in ARMS for seed in range(10)}
  drawn = EXPERIMENT.plot(EXPERIMENT, fabricate(never, odd=odd), 'digits')
  assert 'does not arrive' in drawn.get_suptitle()
  assert 'ends as high' in drawn.get_suptitle()
