"""Learning-rate multipliers on fabricated tables; no training."""

import math

import fabricated_runs
import pytest
from fabricated_runs import NEVER

from configs.lr_multipliers import digits
from experiments import lr_multipliers
from experiments.lr_multipliers.analysis import CHANCE_LOSS, cells, ranges
from experiments.lr_multipliers.runs import SCALES, arms
from normlab import records
from normlab.analysis import plotting
from normlab.sweeps import plan
from normlab.sweeps.language import hyper

EXPERIMENT = lr_multipliers.EXPERIMENT
HOLDS, FAILS, INCONCLUSIVE = 'holds', 'does not hold here', 'inconclusive'
MULTIPLIERS = (0.1, 0.3, 1, 3, 5, 10, 30, 100)
# The accuracy at the end by multiplier; the target is that of none at x1.
ENDS = {
  'none': (0.5, 0.6, 0.7, 0.65, 0.3, 0.1, 0.1, 0.1),
  'batch': (0.6, 0.7, 0.795, 0.8, 0.8, 0.805, 0.81, 0.5),
  'layer': (0.69,) * 8,
  'group': (0.6, 0.6, 0.6, 0.6, 0.6, 0.75, 0.6, 0.6),
}
# The step at which it is reached, where not the 600th.
REACHED = {'batch x5': 200, 'batch x30': 400}
SEEDS = SCALES['digits'].fewer_seeds


def fabricate(changes=None, ends=ENDS, **kwargs):
  curves = {
    arm: (
      REACHED.get(arm, 600),
      ends.get(norm, (0.3,) * 8)[MULTIPLIERS.index(multiplier)],
    )
    for arm, (norm, multiplier) in arms('digits').items()
  }
  return fabricated_runs.table(EXPERIMENT, curves | (changes or {}), **kwargs)


def outcomes(*args, **kwargs):
  return EXPERIMENT.outcomes(fabricate(*args, **kwargs))


def present(*args, **kwargs):
  return EXPERIMENT.present(outcomes(*args, **kwargs), 0.7).set_index('norm')


def verdicts(*args, **kwargs):
  return fabricated_runs.verdicts(EXPERIMENT, fabricate(*args, **kwargs))


def test_a_paper_like_table_makes_the_claims_hold():
  assert verdicts() == {2: HOLDS, 3: HOLDS, 5: HOLDS}


@pytest.mark.parametrize(
  ('claim', 'arm', 'curve', 'verdict'),
  [
    (2, 'batch x5', (700, 0.8), FAILS),
    (2, 'batch x5', (600, 0.8), INCONCLUSIVE),
    (3, 'batch x30', (100, 0.81), FAILS),
    (3, 'batch x30', (400, 0.8), FAILS),
    (5, 'none x30', (600, 0.66), FAILS),
  ],
)
def test_a_claim_can_fail(claim, arm, curve, verdict):
  assert verdicts({arm: curve})[claim] == verdict


def test_divergence_counts_for_claim_5():
  good = {'none x5': (600, 0.7), 'none x30': (600, 0.7)}
  assert verdicts(good)[5] == FAILS
  diverged = {(a, s): 20.0 for a in good for s in SCALES['digits'].seeds}
  assert verdicts(good, diverged=diverged)[5] == HOLDS


def test_a_cell_is_mean_and_range_over_seeds():
  odd = {('layer x3', 0): (600, 0.75), ('layer x3', 1): (100, 0.72)}
  cell = cells(outcomes(odd=odd)).loc[('layer', 3)]
  assert cell['accuracy'] == pytest.approx((0.75 + 0.72 + 0.69) / 3)
  assert (cell['low'], cell['high']) == pytest.approx((0.69, 0.75))
  assert cell['loss'] == pytest.approx(1 - cell['accuracy'])
  assert (cell['steps'], cell['seeds'], cell['diverged']) == (600, 3, 0)
  # Most seeds never match.
  assert cells(outcomes()).loc[('layer', 3), 'steps'] == NEVER
  assert len(cells(outcomes())) == 64


def test_ranges_are_within_a_point_of_the_best_and_above_the_best_without():
  found = ranges(outcomes())
  batch = found.loc['batch']
  assert (batch['best'], batch['best_multiplier']) == (pytest.approx(0.81), 30)
  assert (batch['usable_low'], batch['usable_high']) == (3, 30)
  assert (batch['beats_low'], batch['beats_high']) == (1, 30)
  none, group = found.loc['none'], found.loc['group']
  assert (none['usable_low'], none['usable_high']) == (1, 1)
  # The best without a norm is not above itself.
  assert math.isnan(none['beats_low'])
  assert (group['beats_low'], group['beats_high']) == (10, 10)


def test_a_seed_that_diverges_takes_its_multiplier_out_of_the_ranges():
  found = ranges(outcomes(diverged={('batch x30', 1): 150.0}))
  batch = found.loc['batch']
  assert batch['best_multiplier'] == 10 and batch['usable_high'] == 10
  assert batch['beats_high'] == 10


def test_sensitivity_is_the_mean_loss_beyond_the_best_at_most_of_guessing():
  found = ranges(outcomes())['sensitivity']
  assert found['layer'] == pytest.approx(0)
  ends = ENDS['none']
  assert found['none'] == pytest.approx(max(ends) - sum(ends) / 8)
  diverged = {('layer x100', seed): 20.0 for seed in SEEDS}
  worse = ranges(outcomes(diverged=diverged))['sensitivity']
  assert worse['layer'] == pytest.approx((CHANCE_LOSS - 0.31) / 8)


def test_the_table_says_where_a_norm_works_and_how_fast():
  text = present()
  row = text.loc['batch']
  assert row['best accuracy'] == '81.0% at x30'
  assert row['within 1 point of it'] == 'x3 to x30 (factor 10)'
  assert row['above the best without a norm'] == 'x1 to x30 (factor 30)'
  assert row['fewest steps to 70.0%'] == '200 at x5'
  assert text.loc['none', 'within 1 point of it'] == 'x1'
  assert text.loc['none', 'above the best without a norm'] == '–'
  layer = text.loc['layer']
  # The grid ends before the range does.
  assert layer['within 1 point of it'] == 'x0.1 to x100 (factor ≥ 1,000)'
  assert layer['fewest steps to 70.0%'] == 'never'
  assert list(text.index) == list(digits.NORMS)


def test_runs_are_those_of_the_sweep_with_the_same_config():
  # One of each norm: every config is checked, which takes a while.
  rows = digits.get_hyper(hyper)[:: len(digits.MULTIPLIERS)]
  swept = plan.members(digits.get_config(), rows[: len(digits.NORMS)])
  assert {member.config.norm.name for member in swept} == set(digits.NORMS)
  assert {records.identity(member.config) for member in swept} <= {
    records.identity(run.config) for run in EXPERIMENT.runs('digits')
  }


@pytest.mark.parametrize('scale', SCALES)
def test_the_grid_has_the_papers_multipliers_in_factors_of_about_three(scale):
  values = sorted({multiplier for _, multiplier in arms(scale).values()})
  assert {1, 5, 30} <= {*values}
  assert max(b / a for a, b in zip(values, values[1:], strict=False)) < 3.4
  norms = {norm for norm, _ in arms(scale).values()}
  assert {'none', 'batch', 'batch_renorm', 'layer', 'group'} <= norms
  assert len(arms(scale)) == len(norms) * len(values)


@pytest.mark.filterwarnings('error')
def test_the_figure_has_accuracies_steps_and_two_ranges_a_norm(tmp_path):
  figure = EXPERIMENT.plot(EXPERIMENT, fabricate(), 'digits')
  high, soon, usable = figure.axes
  labels = [text.get_text() for text in figure.legends[0].get_texts()]
  assert labels == list(digits.NORMS)
  assert '70.0%' in soon.get_ylabel()
  steps = {line.get_ydata()[-2] for line in soon.lines}
  assert 400 in steps and math.isnan(soon.lines[0].get_ydata()[-1])
  found = ranges(outcomes())
  bars = found['usable_low'].count() + found['beats_low'].count()
  assert len(usable.lines) == bars
  names = [text.get_text() for text in usable.get_yticklabels()]
  assert names == list(digits.NORMS)
  assert figure.get_suptitle() == (
    '2 of 7 norms get above the best without one, 70.0%; over the widest range '
    'of rates, a factor of 30: batch'
  )
  plotting.save(figure, tmp_path / 'figure')


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('end', [0.1, 0.5, 1.0])
def test_a_figure_of_norms_that_are_all_alike_is_drawn(end):
  table = fabricate(ends=dict.fromkeys(digits.NORMS, (end,) * 8))
  figure = EXPERIMENT.plot(EXPERIMENT, table, 'digits')
  figure.draw_without_rendering()
  assert figure.get_suptitle().startswith('No norm gets above the best')


@pytest.mark.filterwarnings('error')
def test_diverged_cells_are_marked():
  diverged = {
    (f'none x{multiplier}', seed): 20.0
    for multiplier in (30, 100)
    for seed in SCALES['digits'].seeds
  }
  diverged[('layer x100', 0)] = 20.0
  figure = EXPERIMENT.plot(EXPERIMENT, fabricate(diverged=diverged), 'digits')
  high = figure.axes[0]
  crosses = [line for line in high.lines if line.get_marker() == 'x']
  assert [line.get_xdata()[0] for line in crosses] == [30, 100, 100]
  some, every = sorted(line.get_markersize() for line in crosses[1:])
  assert some < every == crosses[0].get_markersize()
