"""The analysis on fabricated tables with known answers; no training."""

import math

import matplotlib.image
import pandas as pd
import pytest

from experiments import lr_multipliers
from normlab import records
from normlab.analysis import plotting
from normlab.commands import reproduce
from normlab.sweeps import plan
from normlab.sweeps.language import hyper

STEPS = (100, 200, 300)
MULTIPLIERS = (0.1, 1.0, 5.0, 30.0, 100.0)
# Best accuracy at each multiplier, reached at the last step. The baseline, none
# at x1, is best at 0.80.
BEST = {
  'none': (0.60, 0.80, 0.30, 0.10, 0.10),
  'batch': (0.70, 0.895, 0.90, 0.902, 0.50),
}
# The step at which 0.80 is reached, where it is.
REACHED = {('batch', 1.0): 300, ('batch', 5.0): 100, ('batch', 30.0): 200}


def curve(norm, multiplier, best):
  start = REACHED.get((norm, multiplier), 300)
  early = min(best, 0.8) - 0.1
  rising = [early if s < start else min(best, 0.8) for s in STEPS[:-1]]
  return [*rising, best]


def fabricate(best=BEST, seeds=(0, 1, 2), diverged=()):
  rows = []
  for seed in seeds:
    for norm, accuracies in best.items():
      for multiplier, top in zip(MULTIPLIERS, accuracies, strict=True):
        ends = (norm, multiplier, seed) in diverged
        values = curve(norm, multiplier, top)
        for step, accuracy in zip(STEPS, values, strict=True):
          rows.append(
            {
              'norm': norm,
              'multiplier': multiplier,
              'seed': seed,
              'step': step,
              'accuracy': accuracy,
              'status': 'diverged' if ends else 'done',
              'diverged_at': 150.0 if ends else math.nan,
            }
          )
  return pd.DataFrame(rows)


@pytest.fixture(scope='module')
def digits_runs():
  return lr_multipliers.runs('digits')


def of(table, norm, multiplier, seed=None):
  found = (table['norm'] == norm) & (table['multiplier'] == multiplier)
  return found if seed is None else found & (table['seed'] == seed)


def verdicts(table):
  judged = lr_multipliers.judge(table)
  return dict(zip(judged['claim'], judged['verdict'], strict=True))


def test_the_target_is_the_best_of_the_baselines_mean_curve():
  table = fabricate()
  assert lr_multipliers.target_of(table) == pytest.approx(0.8)
  table.loc[of(table, 'none', 1.0, seed=0), 'accuracy'] = 0.2
  assert lr_multipliers.target_of(table) == pytest.approx(0.6)


def test_the_usable_range_is_within_a_point_of_the_norms_own_best():
  found = lr_multipliers.ranges(fabricate())
  assert found.loc['batch', ['usable_low', 'usable_high']].tolist() == [1, 30]
  assert found.loc['batch', 'usable_factor'] == 30
  assert found.loc['batch', 'best_multiplier'] == 30
  assert found.loc['none', 'usable_factor'] == 1


def test_a_seed_that_diverges_takes_its_multiplier_out_of_the_range():
  table = fabricate(diverged={('batch', 30.0, 1)})
  found = lr_multipliers.ranges(table).loc['batch']
  assert found['usable_high'] == 5 and found['stops_at'] == 30
  assert found['factor_by_seed'] == [30, 5, 30]
  cells = lr_multipliers.cells(table).loc[('batch', 30.0)]
  assert cells['diverged'] == 1 and math.isnan(cells['best_accuracy'])


def test_training_stops_working_where_it_diverges_or_stays_at_chance():
  found = lr_multipliers.ranges(fabricate())['stops_at']
  assert found['none'] == 30 and math.isnan(found['batch'])
  text = lr_multipliers.present(fabricate()).set_index('norm')
  assert text['stops working at'].tolist() == ['x30', 'not on this grid']


def test_a_norm_that_never_works_has_no_range():
  diverged = {('none', m, s) for m in MULTIPLIERS for s in (0, 1, 2)}
  table = fabricate(diverged=diverged)
  found = lr_multipliers.ranges(table).loc['none']
  assert math.isnan(found['usable_factor']) and found['stops_at'] == 0.1
  text = lr_multipliers.present(table).set_index('norm').loc['none']
  assert text['best accuracy'] == 'no multiplier works'
  assert len(lr_multipliers.plot(table, 'digits').axes) == 3


def test_the_fewest_steps_to_match_are_those_of_all_seeds():
  table = fabricate()
  assert lr_multipliers.ranges(table).loc['batch', 'fastest_multiplier'] == 5
  table.loc[of(table, 'batch', 5.0, seed=2), 'accuracy'] = 0.1
  assert lr_multipliers.ranges(table).loc['batch', 'fastest_multiplier'] == 30
  text = lr_multipliers.present(table).set_index('norm').loc['batch']
  assert text['steps to match'] == '200 at x30'


def test_the_spread_over_seeds_is_in_the_tables():
  table = fabricate()
  late = of(table, 'batch', 30.0, seed=0) & (table['step'] == 300)
  table.loc[late, 'accuracy'] = 0.91
  text = lr_multipliers.present(table).set_index('norm').loc['batch']
  assert text['best accuracy'] == '90.5% (90.2%–91.0%) at x30'
  assert text['seeds'] == 3
  numbers = lr_multipliers.analyze(table).set_index(['norm', 'multiplier'])
  cell = numbers.loc[('batch', 30.0)]
  assert (cell['least_accuracy'], cell['most_accuracy']) == (0.902, 0.91)
  assert len(numbers) == 10
  assert numbers['target'].to_numpy() == pytest.approx(0.8)
  assert cell['usable_factor_min'] <= cell['usable_factor_max']


def test_a_range_that_ends_with_the_grid_is_a_lower_bound():
  wide = fabricate({**BEST, 'batch': (0.9,) * 5})
  text = lr_multipliers.present(wide).set_index('norm')['usable range']
  assert text['batch'] == '≥ 1,000'
  assert text['none'] == '1'


def test_a_paper_like_table_makes_the_claims_hold():
  assert verdicts(fabricate()) == {2: 'holds', 3: 'holds', 5: 'holds'}


@pytest.mark.parametrize(
  ('claim', 'norm', 'accuracies'),
  [
    (2, 'batch', (0.7, 0.9, 0.7, 0.9, 0.5)),
    (3, 'batch', (0.7, 0.9, 0.9, 0.85, 0.5)),
    (5, 'none', (0.6, 0.8, 0.3, 0.3, 0.795)),
  ],
)
def test_a_claim_can_fail(claim, norm, accuracies):
  table = fabricate({**BEST, norm: accuracies})
  assert verdicts(table)[claim] == 'does not hold here'


def test_seeds_that_disagree_are_inconclusive():
  table = fabricate()
  table.loc[of(table, 'none', 5.0, seed=1), 'accuracy'] = 0.8
  assert verdicts(table)[5] == 'inconclusive'


def test_divergence_counts_for_claim_5():
  best = {**BEST, 'none': (0.6, 0.8, 0.8, 0.8, 0.8)}
  diverged = {('none', m, s) for m in MULTIPLIERS[2:] for s in (0, 1, 2)}
  assert verdicts(fabricate(best))[5] == 'does not hold here'
  assert verdicts(fabricate(best, diverged=diverged))[5] == 'holds'


@pytest.mark.parametrize('scale', lr_multipliers.SCALES)
def test_the_grid_is_complete_and_every_run_is_distinct(scale):
  runs = lr_multipliers.runs(scale)
  labels = [tuple(run.labels.values()) for run in runs]
  norms, multipliers, seeds = map(set, zip(*labels, strict=True))
  assert len(set(labels)) == len(norms) * len(multipliers) * len(seeds)
  assert len({records.run_name(run.config) for run in runs}) == len(runs)
  assert {0.1, 1.0, 5.0, 30.0, 100.0} <= multipliers and len(seeds) >= 3
  assert {'none', 'batch', 'batch_renorm', 'layer', 'group'} <= norms
  assert runs[0].labels == {'norm': 'none', 'multiplier': 1.0, 'seed': 0}


def test_runs_are_those_of_the_sweep_with_the_same_config(digits_runs):
  module = lr_multipliers.SCALES['digits']
  # One of each norm: every config is checked, which takes a while.
  rows = module.get_hyper(hyper)[:: len(module.MULTIPLIERS)][
    : len(module.NORMS)
  ]
  swept = plan.members(module.get_config(), rows)
  assert {member.config.norm.name for member in swept} == set(module.NORMS)
  assert {records.identity(member.config) for member in swept} <= {
    records.identity(run.config) for run in digits_runs
  }


def test_networks_differ_in_norm_and_multiplier_alone(digits_runs):
  flat = [records.flatten(run.config) for run in digits_runs]
  differing = {key for key in flat[0] for f in flat if f[key] != flat[0][key]}
  assert {key for key in differing if not key.startswith('norm.')} == {
    'label',
    'seed',
    'optimizer.learning_rate_multiplier',
  }


@pytest.mark.parametrize('scale', lr_multipliers.SCALES)
def test_the_caption_says_what_was_run_and_what_differs(scale):
  caption = lr_multipliers.caption(scale)
  config = lr_multipliers.SCALES[scale].get_config()
  for word in (config.data.name, 'batch 32', '3 seeds', 'momentum 0.9'):
    assert word in caption
  for word in (
    '1502.03167',
    'range',
    'diverged',
    f'{config.total_steps:,} steps',
  ):
    assert word in caption


def test_the_figure_has_lines_crosses_and_ranges(tmp_path):
  diverged = {('none', 100.0, s) for s in (0, 1, 2)} | {('batch', 100.0, 0)}
  figure = lr_multipliers.plot(fabricate(diverged=diverged), 'digits')
  accuracy, steps, usable = figure.axes
  labels = [text.get_text() for text in figure.legends[0].get_texts()]
  assert labels == ['none', 'batch']
  assert len([c for c in accuracy.lines if c.get_marker() == 'x']) == 2
  assert '80.00%' in steps.get_ylabel()
  assert [text.get_text() for text in usable.texts] == ['1', '30']
  plotting.save(figure, tmp_path / 'figure')
  assert matplotlib.image.imread(tmp_path / 'figure.png').std() > 0.05


def write_record(folder, run):
  record = records.Record(folder / records.run_name(run.config))
  record.create()
  # As a record writes it, but not down to the disk: there are many.
  (record.path / records.STATUS).write_text(
    f'{{"status": "done", "step": 300, "rows": {len(STEPS)}}}'
  )
  norm = 'none' if run.labels['norm'] == 'none' else 'batch'
  nearest = min(MULTIPLIERS, key=lambda m: abs(m - run.labels['multiplier']))
  best = BEST[norm][MULTIPLIERS.index(nearest)]
  values = curve(norm, nearest, best)
  (record.path / records.METRICS).write_text(
    ''.join(
      f'{{"step": {s}, "split": "validation", "accuracy": {a}, "loss": 1}}\n'
      for s, a in zip(STEPS, values, strict=True)
    )
  )


def test_results_are_written_from_records_alone(tmp_path, capsys, digits_runs):
  for run in digits_runs:
    write_record(tmp_path, run)
  reproduce.reproduce(
    'lr_multipliers',
    lr_multipliers,
    scale='digits',
    workdir=str(tmp_path),
    plot_only=True,
  )
  files = {path.suffix for path in tmp_path.glob('lr_multipliers_digits.*')}
  assert files == {'.md', '.csv', '.png', '.svg'}
  csv = pd.read_csv(tmp_path / 'lr_multipliers_digits.csv')
  assert len(csv) == 64 and set(csv['seeds']) == {3}
  text = (tmp_path / 'lr_multipliers_digits.md').read_text()
  assert text.count('| holds') == 3 and text in capsys.readouterr().out + '\n'
