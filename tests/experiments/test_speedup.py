"""The speed-up on fabricated tables with known answers; no training."""

import math

import fabricated_runs
import pytest
from fabricated_runs import NEVER, STEPS

from experiments import speedup
from experiments.speedup.runs import ARMS, SCALES, config_of
from normlab.analysis import plotting

EXPERIMENT = speedup.EXPERIMENT
HOLDS, FAILS, INCONCLUSIVE = 'holds', 'does not hold here', 'inconclusive'
# The step that the target, 0.7, is reached at, and the accuracy at the end.
PAPER_LIKE = {
  'Inception': (800, 0.7),
  'BN-Baseline': (300, 0.75),
  'BN-x5': (150, 0.8),
  'BN-x30': (400, 0.85),
  'BN-x5-Sigmoid': (500, 0.6),
  'Inception-x5': (NEVER, 0.1),
  'Inception-Sigmoid': (NEVER, 0.1),
}
SEEDS = SCALES['digits'].seeds


def fabricate(changes=None, **kwargs):
  return fabricated_runs.table(
    EXPERIMENT, PAPER_LIKE | (changes or {}), **kwargs
  )


def verdicts(table):
  return fabricated_runs.verdicts(EXPERIMENT, table)


def present(table):
  target = EXPERIMENT.target(table)
  found = EXPERIMENT.present(EXPERIMENT.outcomes(table), target)
  return found.set_index('network')


def test_a_paper_like_table_makes_the_claims_hold():
  assert verdicts(fabricate()) == dict.fromkeys(range(1, 6), HOLDS)


@pytest.mark.parametrize(
  ('claim', 'network', 'curve', 'verdict'),
  [
    # At half the steps, and less exactly than evaluations tell.
    (1, 'BN-Baseline', (400, 0.75), INCONCLUSIVE),
    (1, 'BN-Baseline', (450, 0.75), FAILS),
    (1, 'BN-Baseline', (NEVER, 0.1), FAILS),
    (2, 'BN-x5', (300, 0.8), INCONCLUSIVE),
    (2, 'BN-x5', (400, 0.8), FAILS),
    (3, 'BN-x30', (50, 0.85), FAILS),
    (3, 'BN-x30', (400, 0.8), FAILS),
    (3, 'BN-x30', (150, 0.85), INCONCLUSIVE),
    (4, 'BN-x5-Sigmoid', (NEVER, 0.1), FAILS),
    (4, 'Inception-Sigmoid', (500, 0.6), FAILS),
    (5, 'Inception-x5', (800, 0.66), FAILS),
  ],
)
def test_a_claim_can_fail(claim, network, curve, verdict):
  table = fabricate({network: curve})
  assert verdicts(table)[claim] == verdict


def test_seeds_that_disagree_are_inconclusive():
  odd = {('BN-Baseline', 1): (NEVER, 0.1)}
  assert verdicts(fabricate(odd=odd))[1] == INCONCLUSIVE


def test_a_divergence_counts_for_claim_5_and_is_listed():
  changes = {'Inception-x5': (500, 0.8)}
  assert verdicts(fabricate(changes))[5] == FAILS
  diverged = {('Inception-x5', seed): 350 - seed for seed in SEEDS}
  table = fabricate(changes, diverged=diverged)
  assert verdicts(table)[5] == HOLDS
  row = present(table).loc['Inception-x5']
  assert row['diverged at step'] == '348, 349, 350'
  assert row['accuracy at the end'] == '0.0%'
  assert row['steps to 70.0%'] == 'never'


def test_the_table_has_medians_ranges_and_the_papers_numbers():
  late = {('BN-x5', seed): (200, 0.81) for seed in SEEDS[3:]}
  text = present(fabricate(odd=late))
  assert list(text.index) == list(ARMS)
  row = text.loc['BN-x5']
  assert row['steps to 70.0%'] == '150 (150–200)'
  assert row['accuracy at the end'] == '80.0% (80.0%–81.0%)'
  assert row['speed-up'] == '5.3'
  assert row['paper: steps'] == '2.1M' and row['paper: speed-up'] == '14.8'
  assert row['paper: best'] == '73.0%' and row['diverged at step'] == '–'
  assert row['seeds'] == len(SEEDS)
  sigmoid, control = text.loc['BN-x5-Sigmoid'], text.loc['Inception-x5']
  assert sigmoid['speed-up'] == 'never' == sigmoid['paper: steps']
  assert control['paper: steps'] == '–' and control['seeds'] == 3


def test_against_a_baseline_that_never_arrives_a_speed_up_is_infinite():
  odd = {('Inception', seed): (NEVER, 0.5) for seed in SEEDS}
  text = present(fabricate(odd=odd))
  assert text['speed-up'].to_dict() == {
    **dict.fromkeys(('BN-Baseline', 'BN-x5', 'BN-x30'), '∞'),
    # Neither arrives: nothing is known.
    **dict.fromkeys(set(PAPER_LIKE) - {'BN-Baseline', 'BN-x5', 'BN-x30'}, '–'),
  }


def test_the_arms_are_the_papers():
  configs = {arm: config_of('digits', arm, 0) for arm in ARMS}
  rate = {
    arm: config.optimizer.learning_rate
    * config.optimizer.learning_rate_multiplier
    for arm, config in configs.items()
  }
  assert rate['BN-Baseline'] == rate['Inception']
  assert rate['BN-x5'] == rate['Inception-x5'] == 5 * rate['Inception']
  assert rate['BN-x30'] == 30 * rate['Inception']
  for arm, config in configs.items():
    assert (config.norm.name == 'batch') == arm.startswith('BN')
    sigmoid = config.model.activation == 'sigmoid'
    assert sigmoid == arm.endswith('Sigmoid')


def marked(axes, marker):
  return [line for line in axes.lines if line.get_marker() == marker]


@pytest.mark.filterwarnings('error')
def test_the_figure_has_curves_diamonds_crosses_strip_and_the_paper(tmp_path):
  figure = EXPERIMENT.plot(
    EXPERIMENT, fabricate(diverged={('Inception-x5', 0): 150.0}), 'digits'
  )
  ours, strip, paper = figure.axes
  labels = [text.get_text() for text in figure.legends[0].get_texts()]
  assert labels == list(ARMS)
  steps = [line.get_xdata()[0] for line in marked(ours, 'D')]
  assert steps == [800, 300, 150, 400]
  assert sorted(line.get_xdata()[0] for line in marked(paper, 'D')) == [
    2.1,
    2.7,
    13.3,
    31,
  ]
  assert len([line for line in paper.lines if len(line.get_xdata()) > 2]) == 5
  crosses = [x for line in marked(ours, 'x') for x in line.get_xdata()]
  assert crosses == [150]
  names = [text.get_text() for text in strip.get_xticklabels()]
  assert names == ['1', '2', '3']
  assert figure.get_suptitle() == (
    'BatchNorm gets where Inception ends in 0.38 of the steps; at '
    'five times the learning rate in 0.50 of its steps'
  )
  plotting.save(figure, tmp_path / 'figure')
  assert '<svg' in (tmp_path / 'figure.svg').read_text()


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('curve', [(NEVER, 0.1), (50, 1.0)])
def test_a_figure_of_arms_that_are_all_alike_is_drawn(curve):
  table = fabricate(dict.fromkeys(PAPER_LIKE, curve))
  figure = EXPERIMENT.plot(EXPERIMENT, table, 'digits')
  figure.draw_without_rendering()
  assert 'in 1.00 of the steps; at five' in figure.get_suptitle()


@pytest.mark.filterwarnings('error')
def test_where_nothing_arrives_the_title_says_so():
  never = {(arm, seed): (NEVER, 0.1) for arm in PAPER_LIKE for seed in SEEDS}
  table = fabricate(odd=never)
  assert all(math.isinf(s) for s in EXPERIMENT.outcomes(table).steps_to_match)
  figure = EXPERIMENT.plot(EXPERIMENT, table, 'digits')
  figure.draw_without_rendering()
  assert 'too few seeds match' in figure.get_suptitle()


@pytest.mark.filterwarnings('error')
def test_a_figure_of_runs_that_all_diverged_is_drawn():
  runs_of_all = EXPERIMENT.all_runs('digits')
  diverged = {
    (run.labels['arm'], run.labels['seed']): 10.0 for run in runs_of_all
  }
  table = fabricate(diverged=diverged)
  table = table[table['step'] == STEPS[0]].assign(step=0, accuracy=math.nan)
  figure = EXPERIMENT.plot(EXPERIMENT, table, 'digits')
  figure.draw_without_rendering()
