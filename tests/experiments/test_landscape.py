"""Figures 4 and 5 on fabricated tables with known answers; no training."""

import json
import math

import fabricated_runs
import numpy as np
import pandas as pd
import pytest

from experiments import landscape
from experiments.landscape import analysis, figure
from experiments.landscape.analysis import TO_MATCH
from experiments.landscape.runs import ARMS, BASELINE, config_of

EXPERIMENT = landscape.EXPERIMENT
SEEDS = EXPERIMENT.scales['digits'].seeds
# By arm: the width of the loss band, and the step with 90% on training.
PAPER_LIKE = {
  BASELINE: (2.0, 800),
  'BN': (0.5, 400),
  'L1': (0.6, 430),
  'L2': (0.6, 380),
  'Linf': (0.7, 450),
}
NEVER = math.inf


def fabricate(changes=None, diverged=None):
  """Measured at evaluations; the first seed differs a little."""
  known = PAPER_LIKE | (changes or {})
  table = fabricated_runs.table(
    EXPERIMENT, dict.fromkeys(known, (500, 0.7)), diverged=diverged
  )
  width = table['arm'].map({arm: width for arm, (width, _) in known.items()})
  width *= 1 + 0.01 * (table['seed'] == 0)
  table = table.assign(shortest=0.1, longest=0.8)
  for suffix, factor in (('', 1.0), ('_random', 0.01)):
    for name in ('loss', 'gradient'):
      table[f'{name}_low{suffix}'] = 0.5
      table[f'{name}_high{suffix}'] = 0.5 + factor * width
    table[f'smoothness{suffix}'] = 5 * factor * width
  arrives = table['arm'].map({arm: step for arm, (_, step) in known.items()})
  table['train_accuracy'] = np.where(table['step'] >= arrives, 0.95, 0.4)
  # Training rows have no other column.
  between = ['arm', 'seed', 'target', 'train_accuracy', 'diverged_at']
  rows = table[between].assign(step=table['step'] - 20)
  rows['train_accuracy'] = np.where(rows['step'] >= arrives, 0.95, 0.4)
  return pd.concat([table, rows]).sort_values(
    ['arm', 'seed', 'step'], kind='stable'
  )


def verdicts(table):
  return fabricated_runs.verdicts(EXPERIMENT, table)


def test_the_claims_hold_of_numbers_like_the_papers():
  table = fabricate()
  assert verdicts(table) == {13: 'holds', 14: 'holds'}
  row = EXPERIMENT.outcomes(table).loc[BASELINE, 1]
  assert row['loss_band'] == row['gradient_band'] == pytest.approx(2.0)
  assert row['loss_band_random'] == pytest.approx(0.02)
  assert row['smoothness'] == row['largest_smoothness'] == 10
  assert row[TO_MATCH] == 800 and row['train_accuracy'] == 0.95
  # A training row, between evaluations.
  assert EXPERIMENT.outcomes(table).loc[('L2', 1), TO_MATCH] == 380


@pytest.mark.parametrize(
  ('claim', 'arm', 'numbers'),
  [
    (13, 'BN', (2.5, 400)),
    (14, 'L1', (0.6, 600)),
    (14, 'Linf', (0.6, NEVER)),
    # The network without a norm is the control.
    (14, BASELINE, (2.0, 400)),
  ],
)
def test_a_claim_can_fail(claim, arm, numbers):
  found = verdicts(fabricate({arm: numbers}))
  assert found == {13: 'holds', 14: 'holds', claim: 'does not hold here'}


def test_medians_are_of_the_first_half_and_the_accuracy_of_the_last_tenth():
  run = fabricate().query('arm == "BN" and seed == 1').copy()
  late = run['step'] > 500
  run.loc[late, 'loss_high'] = 100.0
  run.loc[late, 'smoothness'] = 100.0
  run.loc[run['step'] > 900, 'train_accuracy'] = 0.99
  found = analysis.further_outcomes(run)
  assert found['loss_band'] == pytest.approx(0.5)
  assert found['smoothness'] == 2.5 and found['largest_smoothness'] == 100
  assert found['train_accuracy'] == pytest.approx(0.99)


def test_a_run_that_diverged_never_arrives():
  died = {('L1', seed): 900.0 for seed in SEEDS}
  table = fabricate(diverged=died)
  row = EXPERIMENT.outcomes(table).loc['L1', 0]
  assert row[TO_MATCH] == NEVER and row['train_accuracy'] == 0
  text = EXPERIMENT.present(EXPERIMENT.outcomes(table), None)
  text = text.set_index('network')
  assert text.loc['L1', 'diverged at step'] == ', '.join(['900'] * len(SEEDS))
  assert text.loc['L1', 'steps to 90%'] == 'never'
  assert text.loc['BN', 'step lengths'] == '0.1–0.8'


def test_what_the_probe_saw_becomes_the_ends_of_bands():
  class Probed:
    def probe(self, name):
      assert name == 'landscape'
      values = np.array([[1.0, 3.0, 2.0], [4.0, 4.0, 7.0]])
      names = 'loss', 'gradient_difference', 'smoothness'
      both = {f'{n}{s}': values for n in names for s in ('', '_random')}
      return {'step': np.array([0, 20]), 'lengths': values / 10, **both}

    def metrics(self):
      return [
        {'step': step, 'split': 'train', 'accuracy': 0.1, 'loss': 1.0}
        for step in (10, 20)
      ]

  table = analysis.measure(Probed())
  assert table.index.tolist() == [0, 10, 20]
  assert table.loc[0, 'loss_low'] == 1 and table.loc[0, 'loss_high'] == 3
  assert table.loc[20, 'smoothness_random'] == 7
  assert table.loc[20, ['shortest', 'longest']].tolist() == [0.4, 0.7]
  assert table['train_accuracy'].isna().tolist() == [True, False, False]


def test_the_papers_numbers_are_those_of_its_curves():
  published = json.loads(figure.REFERENCE.read_text())
  curves = published['santurkar2018_fig5a_train_acc']
  beta = published['santurkar2018_fig4c_beta']
  assert {*curves} == {arm.paper_name for arm in ARMS.values()}
  for arm in ARMS.values():
    first = min(step for step, value in curves[arm.paper_name] if value >= 90)
    assert first == pytest.approx(arm.paper_steps, abs=2)
  parts = {
    (part.outcome, part.arm): part.published
    for claim in EXPERIMENT.claims
    for part in claim.comparisons
  }
  ends = {
    name: np.mean([value for step, value in curve if step >= 13_500])
    for name, curve in curves.items()
  }
  early = {
    name: np.median([value for step, value in curve if step <= 1_500])
    for name, curve in beta.items()
  }
  assert parts['smoothness', 'BN'] == pytest.approx(
    early['bn'] / early['standard'], rel=0.01
  )
  for arm in ('L1', 'L2', 'Linf'):
    difference = (ends[ARMS[arm].paper_name] - ends['bn']) / 100
    assert parts['train_accuracy', arm] == pytest.approx(difference, abs=1e-3)


@pytest.mark.parametrize('scale', list(EXPERIMENT.scales))
def test_training_is_the_papers_and_lengths_are_those_of_all(scale):
  configs = {arm: config_of(scale, arm, 0) for arm in ARMS}
  for arm, config in configs.items():
    assert config.optimizer.name == 'sgd' and not config.optimizer.weight_decay
    assert config.batch_size == 128 and config.model.kernel_init
    assert min(config.probes.step_lengths) == 0.5
    assert max(config.probes.step_lengths) == 4
    assert config.probes == configs[BASELINE].probes
    assert config.optimizer == configs[BASELINE].optimizer
    literal = config.norm.convention == 'literal'
    assert literal == arm.startswith('L')


@pytest.mark.filterwarnings('error')
def test_the_figure_has_bands_training_and_the_paper():
  drawn = EXPERIMENT.plot(EXPERIMENT, fabricate(), 'digits')
  drawn.draw_without_rendering()
  loss, gradient, smoothness, ours, paper, beta = drawn.axes
  assert len(loss.collections) == len(gradient.collections) == 2
  assert loss.get_ylabel() == 'range over steps of 0.1 to 0.8'
  labels = [text.get_text() for text in drawn.legends[0].get_texts()]
  assert labels == list(ARMS)
  assert len(ours.lines) > len(ARMS) and len(paper.lines) == len(ARMS) + 1
  # The grey line: an honest limit of what the shortest length can show.
  for axes, limit in ((smoothness, 10), (beta, 20)):
    assert limit in [line.get_ydata()[0] for line in axes.lines]
  assert drawn.get_suptitle() == (
    'Along the gradient, loss and gradient vary 0.25 and 0.25 times as much '
    'with BN as without; to 90%, L1, L2, Linf take 1.07, 0.95, 1.12 times the '
    'steps of BN'
  )


@pytest.mark.filterwarnings('error')
def test_where_no_network_arrives_the_title_says_so():
  never = {arm: (width, NEVER) for arm, (width, _) in PAPER_LIKE.items()}
  died = {(arm, seed): 10.0 for arm in ARMS for seed in SEEDS}
  drawn = EXPERIMENT.plot(EXPERIMENT, fabricate(never, died), 'digits')
  drawn.draw_without_rendering()
  assert 'unknown, unknown, unknown times' in drawn.get_suptitle()
