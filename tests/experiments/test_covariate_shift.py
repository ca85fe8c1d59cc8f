"""Figure 3 of 1805.11604 on fabricated tables with known answers."""

import math

import fabricated_runs
import numpy as np
import pandas as pd
import pytest

from experiments import covariate_shift
from experiments.covariate_shift import analysis, claims
from experiments.covariate_shift.analysis import SHOWN
from experiments.covariate_shift.runs import (
  ARMS,
  LINEAR,
  PAIRS,
  SCALES,
  config_of,
)
from normlab import records
from normlab.analysis.claims import judge
from normlab.data.sets import linear_map

EXPERIMENT = covariate_shift.EXPERIMENT
LAYERS = {'cnn': 6, 'linear': 24}
# Until it has converged, the difference of the second layer, which doubles from
# layer to layer, and the cosine of all.
SHIFTS = {
  name: (1.0, 0.5) if arm.norm == 'none' else (2.0, 0.4)
  for name, arm in ARMS.items()
}
CONVERGES = 500
# What is measured from then on.
CONVERGED = (1e-3, 0.99)


def fabricate(shifts=None, **kwargs):
  """Measured between evaluations."""
  curves = dict.fromkeys(ARMS, (CONVERGES, 0.95))
  table = fabricated_runs.table(EXPERIMENT, curves, **kwargs)
  nothing = {'accuracy': math.nan, 'loss': math.nan}
  measured = []
  for row in table.to_dict('records'):
    is_early = row['step'] < CONVERGES
    size, cosine = (
      (SHIFTS | (shifts or {}))[row['arm']] if is_early else CONVERGED
    )
    count = LAYERS[ARMS[row['arm']].network]
    names = [*(f'layer{i + 1}' for i in range(count)), 'logits']
    found = {f'difference/{n}': size * 2.0**i for i, n in enumerate(names, -1)}
    found |= {f'cosine/{name}': cosine for name in names}
    found |= {'difference/layer1': 0.0, 'cosine/layer1': 1.0}
    trained = {
      'train_accuracy': 0.5 if is_early else 0.95,
      'train_loss': 20.0 if is_early else 1.0,
    }
    step = {'step': row['step'] + 25, 'rate': 0.4}
    measured.append(row | nothing | found | trained | step)
  return pd.concat([table, pd.DataFrame(measured)])


@pytest.fixture(scope='module')
def table():
  return fabricate()


@pytest.fixture(scope='module')
def outcomes(table):
  return EXPERIMENT.outcomes(table)


def verdict(shifts):
  """Of all runs of an arm, which agree, or nearly."""
  rows = {
    (arm, seed): {
      'gradient_difference': difference * (1 + seed / 1e3),
      'gradient_cosine': cosine + seed / 1e3,
    }
    for arm, (difference, cosine) in (SHIFTS | shifts).items()
    for seed in SCALES['digits'].seeds
  }
  found = pd.DataFrame.from_dict(rows, orient='index')
  return judge(claims.CLAIMS, found)['verdict'].iloc[0]


def test_the_claim_holds_of_a_fabricated_table(table):
  assert fabricated_runs.verdicts(EXPERIMENT, table) == {11: 'holds'}


def test_the_claim_holds_of_more_change_and_of_as_much():
  assert verdict({}) == 'holds'
  assert verdict(dict.fromkeys(ARMS, (1.0, 0.5))) == 'holds'


@pytest.mark.parametrize('arm', PAIRS.values())
@pytest.mark.parametrize('shift', [(0.7, 0.5), (1.0, 0.6)])
def test_each_part_of_the_claim_can_fail_it(arm, shift):
  assert verdict({arm: shift}) == 'does not hold here'


def test_outcomes_are_of_all_layers_but_the_first_until_convergence(outcomes):
  for name, (size, cosine) in SHIFTS.items():
    own = outcomes.loc[name].iloc[0]
    # Layers 2 to n, and the logits: 1, 2, ..., 2^(n - 1).
    count = LAYERS[ARMS[name].network]
    mean = size * 2 ** ((count - 1) / 2)
    assert own['gradient_difference'] == pytest.approx(mean)
    assert own['gradient_cosine'] == pytest.approx(cosine)
    assert own['first_difference'] == 0
    assert own['measured_until'] == CONVERGES - 25
    for place, layer in zip(
      ('lower', 'upper'), SHOWN[ARMS[name].network], strict=True
    ):
      expected = size * 2.0 ** (int(layer.removeprefix('layer')) - 2)
      assert own[f'{place}_difference'] == expected


def test_a_run_that_does_not_converge_counts_whole(table):
  run = table[(table['arm'] == 'cnn') & (table['seed'] == 0)]
  assert analysis.shifts(run)['measured_until'] == CONVERGES - 25
  still = run.assign(train_accuracy=0.5)
  assert analysis.shifts(still)['measured_until'] == 1025


def test_the_geometric_mean_makes_a_ratio_the_mean_ratio_of_layers():
  a, b = pd.Series([1.0, 4.0, 9.0]), pd.Series([2.0, 3.0, 5.0])
  ratio = analysis.geometric_mean(a) / analysis.geometric_mean(b)
  assert ratio == pytest.approx(analysis.geometric_mean(a / b))
  assert analysis.geometric_mean(pd.Series([0.0, 1.0])) == 0


def test_layers_are_in_their_order():
  columns = ['cosine/layer10', 'cosine/logits', 'cosine/layer2', 'step']
  run = pd.DataFrame([[0.1, 0.2, 0.3, 0]], columns=columns)
  found = analysis.of_layers(run, 'cosine')
  assert list(found) == ['layer2', 'layer10', 'logits']


def test_squared_errors_converge_at_a_tenth_of_that_of_predicting_zero():
  _, targets = linear_map.splits()['train']
  tenth = np.square(targets).sum(1).mean() / 10
  run = pd.DataFrame({'train_loss': [1.01 * tenth, 0.99 * tenth]})
  assert analysis.CONVERGED[LINEAR](run).tolist() == [False, True]


def test_the_papers_numbers_are_averaged_as_ours():
  ratio, cosine = claims.published('cnn BN slow', 'cnn slow')
  layers = [2.6 / 0.87, 2.3 / 1.8]
  assert ratio == pytest.approx(analysis.geometric_mean(pd.Series(layers)))
  assert cosine == pytest.approx(np.mean([0.71 - 0.87, 0.52 - 0.54]))


def test_what_the_probe_and_training_saw_become_columns():
  class Probed:
    config = {
      'optimizer': {'learning_rate': 0.5, 'learning_rate_multiplier': 0.1}
    }

    def probe(self, name):
      assert name == 'covariate_shift'
      return {'step': np.array([0, 20]), 'cosine/layer1': np.array([1.0, 0.5])}

    def metrics(self):
      row = {'split': 'train', 'step': 20, 'loss': 2.0, 'learning_rate': 0.05}
      return [row, row | {'split': 'validation'}]

  table = analysis.measure(Probed())
  assert table['cosine/layer1'].tolist() == [1.0, 0.5]
  assert table['train_loss'].tolist()[1] == 2.0
  assert table['rate'].tolist() == [0.05] * 2
  assert 'train_learning_rate' not in table and 'train_accuracy' not in table


@pytest.mark.parametrize('scale', SCALES)
def test_a_pair_differs_in_the_norm_alone(scale):
  for without, with_norm in PAIRS.items():
    flat = [
      records.flatten(config_of(scale, arm, 0)) for arm in (without, with_norm)
    ]
    differing = {field for field in flat[0] if flat[0][field] != flat[1][field]}
    assert {f for f in differing if not f.startswith('norm.')} == {'label'}
    assert flat[0]['norm.name'] == 'none'
    assert flat[0]['optimizer.name'] == 'sgd'
  rates = {
    arm: math.prod(
      getattr(config_of(scale, arm, 0).optimizer, field)
      for field in ('learning_rate', 'learning_rate_multiplier')
    )
    for arm in ARMS
  }
  for arm in ('cnn', 'linear'):
    assert rates[f'{arm} slow'] == pytest.approx(rates[arm] / 10)


def test_on_cifar10_the_rates_are_the_papers():
  for arm, rate in (('cnn', 0.1), ('linear', 1e-6 * 1_000)):
    optimizer = config_of('cifar10_cpu', arm, 0).optimizer
    found = optimizer.learning_rate * optimizer.learning_rate_multiplier
    assert found == pytest.approx(rate)


@pytest.mark.filterwarnings('error')
def test_the_figure_has_a_row_a_pair_and_its_title_is_computed(table):
  figure = EXPERIMENT.plot(EXPERIMENT, table, 'digits')
  figure.draw_without_rendering()
  labels = [text.get_text() for text in figure.legends[0].get_texts()]
  assert labels == ['without BN', 'with BN']
  # Training; two layers each of difference and cosine; two maps.
  lines = [len(axes.lines) for axes in figure.axes[: 5 * len(PAIRS)]]
  assert lines == [2, 4, 4, 0, 0] * len(PAIRS)
  title = figure.get_suptitle()
  assert title.count('2 times') == 2 and title.count('cosine -0.10') == 2


@pytest.mark.filterwarnings('error')
def test_a_figure_of_gradients_that_do_not_change_is_drawn():
  figure = EXPERIMENT.plot(
    EXPERIMENT, fabricate(dict.fromkeys(ARMS, (0.0, 1.0))), 'digits'
  )
  figure.draw_without_rendering()


def test_the_table_has_rates_layers_and_the_papers_numbers(outcomes):
  text = EXPERIMENT.present(outcomes, None)
  row = text.set_index('network').loc['cnn BN slow']
  assert row['learning rate'] == '0.4' and row['first layer'] == '0'
  assert row['two layers'] == 'layer3; layer5'
  assert row['paper: difference'] == '2.60; 2.30'
  assert row['their difference'] == '4; 16'
