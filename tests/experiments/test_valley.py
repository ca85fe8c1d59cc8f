import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import load
from experiments.valley import analysis, figure, quadratic
from experiments.valley.quadratic import Curvature
from experiments.valley.runs import (
  LINEAR,
  condition_number_of,
  config_of,
  curvature,
)
from normlab.analysis.verdicts import Verdict

CURVES = settings(max_examples=25, deadline=None, derandomize=True)
KAPPAS = st.floats(1.001, 500)


@pytest.fixture(scope='module')
def experiment():
  return load('valley')


def rotated(smallest, largest, angle):
  """A Hessian [2, 2] with these eigenvalues."""
  c, s = math.cos(angle), math.sin(angle)
  turn = np.array([[c, -s], [s, c]])
  return turn @ np.diag([smallest, largest]) @ turn.T


def test_hessian_is_that_of_the_mean_squared_error():
  generator = np.random.default_rng(0)
  x, y = generator.normal(size=(20, 3)), generator.normal(size=20)

  def loss(w):
    return ((x @ w[:3] + w[3] - y) ** 2).mean()

  w, v = generator.normal(size=(2, 4))
  # A quadratic is its own second difference.
  expected = loss(w + v) - 2 * loss(w) + loss(w - v)
  assert v @ quadratic.hessian(x) @ v == pytest.approx(expected)


@CURVES
@given(KAPPAS, st.floats(0, 3), st.floats(0.1, 10))
def test_the_worst_start_takes_the_steps_of_the_bound(kappa, angle, scale):
  matrix = rotated(scale, scale * kappa, angle)
  path = quadratic.path(matrix, quadratic.worst_error(matrix))
  steps = max(1, quadratic.most_steps(kappa))
  # Rounding decides where the bound is nearly a whole number.
  assert math.ceil(steps * (1 - 1e-6)) <= len(path) - 1
  assert len(path) - 1 <= math.ceil(steps * (1 + 1e-6))


@CURVES
@given(KAPPAS, st.floats(0, 6.3))
def test_no_start_takes_longer_than_the_bound(kappa, direction):
  matrix = rotated(1, kappa, 0.5)
  error = np.array([math.cos(direction), math.sin(direction)])
  steps = len(quadratic.path(matrix, error)) - 1
  assert steps <= math.ceil(max(1, quadratic.most_steps(kappa)) * (1 + 1e-6))


def test_the_bound_is_the_condition_number_times_a_constant():
  expected = math.log(100) / 4 * 1e4
  assert quadratic.most_steps(1e4) == pytest.approx(expected, rel=1e-3)


def test_a_bowl_takes_one_step():
  path = quadratic.path(2 * np.eye(2), np.array([3.0, -1.0]))
  np.testing.assert_allclose(path, [[3, -1], [0, 0]], atol=1e-12)
  assert quadratic.most_steps(1.0) == 1


@pytest.mark.parametrize('factor', [0.9, 1.1])
def test_no_other_rate_shrinks_the_worst_error_more(factor):
  own = Curvature(0.5, 20.0)

  def slowest(rate):
    return max(abs(1 - rate * own.smallest), abs(1 - rate * own.largest))

  assert slowest(factor * own.best_rate) > slowest(own.best_rate)
  k = own.condition_number
  assert slowest(own.best_rate) == pytest.approx((k - 1) / (k + 1))


def test_worst_error_has_a_loss_of_one():
  matrix = rotated(0.3, 7.0, 1.0)
  error = quadratic.worst_error(matrix)
  assert quadratic.loss(matrix, error) == pytest.approx(1)


def test_preparing_lowers_the_condition_number_down_to_one():
  for seed in range(10):
    numbers = [condition_number_of(arm, seed) for arm in LINEAR]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[-1] == pytest.approx(1, abs=1e-4)
    # Correlations of a half: 1 + 9 / 2 by 1 - 1 / 2, and sampling.
    assert 11 < numbers[2] < 16


def test_a_linear_run_is_as_long_as_the_bound():
  config = config_of('digits', 'raw', 3)
  own = curvature('raw', 3)
  assert config.optimizer.learning_rate == pytest.approx(own.best_rate, 1e-5)
  bound = quadratic.most_steps(own.condition_number)
  assert bound + 1 <= config.total_steps <= bound + 4


def test_arrival_is_the_first_loss_of_at_most_one_percent():
  loss = pd.Series([2.0, 0.03, 0.02, 0.01], index=[0, 1, 2, 3])
  assert analysis.arrival(loss) == 2
  assert analysis.arrival(loss[:2]) == math.inf
  assert analysis.arrival(loss[:0]) == math.inf


class Rows:
  """A record with these training losses."""

  def __init__(self, losses):
    self._losses = losses

  def metrics(self):
    rows = [
      {'step': i, 'split': 'train', 'loss': loss}
      for i, loss in enumerate(self._losses, start=1)
    ]
    return [*rows, {'step': len(rows), 'split': 'test', 'loss': 0.0}]


@pytest.mark.parametrize('rate', [0.9, 0.99, 0.999])
def test_measured_rows_are_few_and_have_the_arrival(rate):
  count = 5_000
  losses = 3 * rate ** np.arange(count)
  measured = analysis.measure(Rows(losses))['training_loss']
  assert len(measured) < 200
  # The row of a step has the loss before it.
  assert measured[0] == 3
  expected = math.ceil(math.log(0.01) / math.log(rate) - 1e-9)
  assert analysis.arrival(measured) == expected


def test_a_run_without_training_rows_measures_nothing():
  assert analysis.measure(Rows([])).empty


def table_of(experiment, steps):
  """Runs whose loss falls to 1% after the steps of their arm."""
  rows = []
  for run in experiment.runs('digits'):
    arm = run.labels['arm'].removesuffix(', network')
    for step, loss in ((0, 1.0), (steps[arm], 0.01)):
      if math.isfinite(step):
        row = {'step': step, 'training_loss': loss, 'accuracy': math.nan}
        rows.append(run.labels | row | {'diverged_at': math.nan})
    ending = {'step': 5_000, 'training_loss': math.nan, 'accuracy': 1.0}
    rows.append(run.labels | ending | {'loss': 0.0, 'diverged_at': math.nan})
  return pd.DataFrame(rows)


@pytest.mark.parametrize(
  ('standardized', 'verdict'),
  [(10, Verdict.HOLDS), (100, Verdict.FAILS), (math.inf, Verdict.FAILS)],
)
def test_the_claim_follows_from_the_steps(experiment, standardized, verdict):
  steps = {'raw': 100, 'centred': 50, 'whitened': 1}
  table = table_of(experiment, steps | {'standardized': standardized})
  assert {*experiment.judge(table)['verdict']} == {verdict}
  found = experiment.outcomes(table)
  assert (found.loc['raw', 'updates_to_1_percent'] == 100).all()
  assert found.loc['raw, network', 'most_updates'].isna().all()
  shown = experiment.present(found, None).set_index('features, model')
  never = 'never' if math.isinf(standardized) else f'{standardized}'
  assert shown.loc['standardized', 'steps to 1% of the loss'] == never


@pytest.mark.parametrize('raw', [100, math.inf])
def test_the_title_says_the_medians(experiment, raw):
  steps = {'raw': raw, 'centred': 50, 'standardized': 7, 'whitened': 1}
  table = table_of(experiment, steps)
  drawn = figure.plot(experiment, table, 'digits')
  title = drawn.get_suptitle()
  if math.isfinite(raw):
    assert 'in 7 steps on standardized features, in 100' in title
  else:
    assert 'does not arrive' in title
  assert all(axes.get_xlabel() and axes.get_ylabel() for axes in drawn.axes)
