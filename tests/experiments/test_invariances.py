"""The experiment without training: which changes each norm does not see."""

import itertools
import math

import jax
import numpy as np
import pandas as pd
import pytest
from flax import linen as nn
from jax import lax

from experiments.invariances import (
  EXPERIMENT,
  analysis,
  arms,
  deviations,
  figure,
)
from experiments.invariances.theorem import excess, sides
from normlab import norms

# The fewest that exclude a share of one half.
SEEDS = (0, 1, 2, 3, 4)


@pytest.fixture
def float64():
  with jax.enable_x64(True):
    yield


def measured(layer, kind=arms.DENSE):
  rows = pd.DataFrame(deviations.invariances(layer, kind, SEEDS))
  index = ['change', 'quantity', 'number']
  return rows.set_index(index)['deviation'].sort_index()


def test_every_norm_is_measured():
  assert {arm.name for arm in arms.ARMS.values()} == {*norms.NORMS}


def test_the_papers_table_has_24_cells():
  cells = [analysis.published(arm) for arm in arms.PAPER]
  assert [len(row) for row in cells] == [6] * 4
  assert arms.PAPER.keys() == {
    'BatchNorm',
    'WeightNorm',
    'LayerNorm',
    'RMSNorm',
  }


@pytest.mark.parametrize('kind', arms.LAYERS)
def test_without_a_norm_deviations_are_those_of_the_changes(kind, float64):
  found = measured(deviations.build(arms.ARMS['identity']), kind)
  drawn = deviations.draw(kind, SEEDS)
  # Three times the output; a third of the gradient is predicted, all is there.
  for change in ('rescaled weights', 'rescaled data'):
    np.testing.assert_allclose(found[change, 'output'], 2)
  own = found['rescaled weights', 'gradient of the weights']
  np.testing.assert_allclose(own, 2)
  for number in range(len(SEEDS)):
    x, w = drawn.data[number], drawn.weights[number]
    y = x @ w
    moved = abs(drawn.data_shift[number] @ w).max() / abs(y).max()
    assert found['recentred data', 'output', number] == pytest.approx(moved)
    moved = abs(x @ drawn.weight_shift[number]).max() / abs(y).max()
    assert found['recentred weights', 'output', number] == pytest.approx(moved)
    one = 2 * abs(y[2]).max() / abs(y).max()
    assert found['one rescaled case', 'output', number] == pytest.approx(one)
    one = 2 * abs(y[..., 1]).max() / abs(y).max()
    assert found['one rescaled unit', 'output', number] == pytest.approx(one)


class StraightThrough(nn.Module):
  """The output of a norm, and the gradient of none."""

  @nn.compact
  def __call__(self, x, use_running_average):
    return lax.stop_gradient(x / x.std(0) - x) + x


def test_a_gradient_that_is_not_the_predicted_one_is_found(float64):
  hooks = norms.Hooks(norm=norms.factory(StraightThrough, {}))
  layer = deviations.NormedLayer(hooks)
  found = measured(layer)['rescaled weights']
  assert (found['output'] < 1e-12).all()
  # The same gradient, where a third is predicted.
  np.testing.assert_allclose(found['gradient of the weights'], 2)


def test_deviations_are_relative_to_the_largest_predicted_entry():
  predicted = np.array([[1.0, -4.0], [0.0, 2.0]])
  actual = np.array([[1.0, -3.0], [0.5, math.nan]])
  rows = list(deviations.compared([actual] * 3, [predicted] * 3))
  assert [row['quantity'] for row in rows[:: len(actual)]] == list(
    arms.QUANTITIES
  )
  assert rows[0]['deviation'] == 0.25 and math.isnan(rows[1]['deviation'])


def test_limits_are_equal_and_controls_are_not(float64):
  for case in arms.LIMITS.values():
    rows = pd.DataFrame(deviations.limit(case, SEEDS))
    assert len(rows) == len(SEEDS) * len(arms.QUANTITIES)
    if case.equal:
      assert (rows['deviation'] < 1e-12).all()
    else:
      output = rows[rows['quantity'] == 'output']
      assert (output['deviation'] > arms.OTHER).all()


@pytest.mark.parametrize('m', [3, 9, 30])
def test_theorem_4_1_is_an_equality_with_one_over_m_alone(m, float64):
  y = np.random.default_rng(m).normal(size=(m, 5))
  left, right, printed = sides(y, np.full(5, 1.5))
  np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-12)
  assert (np.asarray(printed) < left).all()
  found = excess(m)
  assert abs(found[arms.THEOREM]) < arms.SAME
  assert found[arms.PRINTED] > arms.OTHER


def rows_of(arm, deviation, *, layer=arms.DENSE, change=arms.EQUAL, seed=0):
  """Of one cell; a number for all quantities, or one for each."""
  values = deviation if isinstance(deviation, tuple) else (deviation,) * 3
  return [
    {
      'arm': arm,
      'seed': seed,
      'layer': layer,
      'change': change,
      'quantity': quantity,
      'deviation': value,
    }
    for quantity, value in zip(arms.QUANTITIES, values, strict=True)
  ]


@pytest.mark.parametrize(
  ('values', 'answer'),
  [
    ((1e-16, 1e-15, 9e-5), 'yes'),
    ((1e-16, 1e-15, 2e-4), 'undecided'),
    ((1e-16, 0.5, 0.0), 'no'),
    ((0.5, 1e-16, 1e-16), 'no'),
    ((1e-3, 0.5, 0.5), 'undecided'),
    ((math.nan, 0.0, 0.0), 'undecided'),
    ((0.0, 0.0, math.nan), 'undecided'),
  ],
)
def test_a_cell_is_decided_by_output_and_then_by_gradients(values, answer):
  found = dict(zip(arms.QUANTITIES, values, strict=True))
  assert analysis.answer(analysis.cell(found)) == answer


def fabricated(other=()):
  """A table in which the papers are right, and all others see everything.

  Args:
    other: (arm, layer, change) in which a row of the table is not as there.
  """
  rows = []
  for (name, arm), layer, seed in itertools.product(
    arms.ARMS.items(), arms.LAYERS, SEEDS
  ):
    if arm.needs_space and layer == arms.DENSE:
      continue
    said = analysis.published(name) if arm.paper else ['no'] * 6
    for change, answer in zip(arms.CHANGES, said, strict=True):
      is_same = (answer == 'yes') != ((name, layer, change) in other)
      value = 1e-15 if is_same else 0.5
      rows += rows_of(name, value, layer=layer, change=change, seed=seed)
  for seed in SEEDS:
    for name, case in arms.LIMITS.items():
      value = 0.0 if case.equal else 0.5
      rows += rows_of(name, value, layer=arms.CONVOLUTION, seed=seed)
    for name, value in ((arms.THEOREM, -1e-15), (arms.PRINTED, 0.5)):
      rows.append(rows_of(name, value, seed=seed)[-1])
  return pd.DataFrame(rows)


def test_outcomes_say_what_claims_ask():
  found = EXPERIMENT.outcomes(fabricated())
  assert found.loc['BatchNorm']['ignores_rescaled_weights'].all()
  assert not found.loc['identity']['ignores_rescaled_weights'].any()
  assert found.loc['LayerNorm']['matches_the_table'].all()
  assert found.loc[arms.THEOREM]['is_an_equality'].all()
  assert not found.loc[arms.PRINTED]['is_a_bound'].any()
  # A right side that is larger is a bound, and no equality.
  rows = pd.DataFrame(rows_of(arms.PRINTED, -0.5)[-1:])
  outcomes = analysis.outcomes_of(rows)
  assert outcomes['is_a_bound'] and not outcomes['is_an_equality']


def test_one_other_cell_takes_the_match_and_the_claim_away():
  other = ('RMSNorm', arms.DENSE, 'recentred data')
  table = fabricated([other])
  found = EXPERIMENT.outcomes(table)
  assert not found.loc['RMSNorm']['matches_the_table'].any()
  verdicts = EXPERIMENT.judge(table).groupby('claim')['verdict'].first()
  assert verdicts[26] == 'does not hold here'
  assert EXPERIMENT.judge(fabricated())['verdict'].nunique() == 1
  shown = EXPERIMENT.present(found, None).set_index(['norm', 'layer'])
  agreed = shown['as in the paper'].loc[:, arms.DENSE]
  assert agreed['RMSNorm'] == '5 of 6' and agreed['BatchNorm'] == '6 of 6'
  assert shown.loc[other[:2], 'recentred data'] == 'yes (1e-15)'
  assert ('InstanceNorm', arms.DENSE) not in shown.index


def test_the_title_counts_cells_and_names_what_a_convolution_changes():
  lost = ('LayerNorm', arms.CONVOLUTION, 'recentred weights')
  wrong = ('WeightNorm', arms.DENSE, 'rescaled data')
  outcomes = EXPERIMENT.outcomes(fabricated([lost, wrong]))
  cells = {name: analysis.cells_of(outcomes, name) for name in arms.LAYERS}
  assert figure.finding(cells).splitlines() == [
    "23 of 24 cells of the papers' table hold in every seed",
    'a convolution costs LayerNorm the invariance to recentred weights',
    'a convolution costs WeightNorm the invariance to rescaled data',
  ]


def test_the_figure_has_a_cell_for_each_answer_and_marks_disagreement():
  wrong = ('BatchNorm', arms.DENSE, 'one rescaled case')
  drawn = EXPERIMENT.plot(EXPERIMENT, fabricated([wrong]), 'digits')
  drawn.draw_without_rendering()
  dense, convolution, _ = drawn.axes
  empty = sum(arm.needs_space for arm in arms.ARMS.values())
  # The frame of the disagreement is one patch more.
  assert len(dense.patches) == 6 * (len(arms.ARMS) - empty) + 1
  assert len(convolution.patches) == 6 * len(arms.ARMS)


def test_the_worst_seed_speaks_most_against_the_answer():
  assert analysis.worst(pd.Series([1e-16, 1e-15])) == 1e-15
  assert analysis.worst(pd.Series([0.3, 2.0])) == 0.3
  assert math.isnan(analysis.worst(pd.Series([0.3, math.nan])))


def test_the_computed_table_has_outcomes_of_every_arm(monkeypatch):
  few = {name: arms.ARMS[name] for name in ('BatchNorm', 'InstanceNorm')}
  monkeypatch.setattr(deviations, 'ARMS', few)
  table = EXPERIMENT.compute('digits')
  found = EXPERIMENT.outcomes(table)
  names = {*few, *arms.LIMITS, arms.THEOREM, arms.PRINTED}
  seeds = EXPERIMENT.scales['digits'].seeds
  assert {*found.index} == {*itertools.product(names, seeds)}
  assert found.loc['BatchNorm']['matches_the_table'].all()
