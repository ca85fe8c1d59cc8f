"""The analysis on fabricated tables with known answers; no training."""

import math

import matplotlib.image
import pandas as pd
import pytest

import normlab.commands.reproduce
from experiments import speedup
from normlab import records, validation
from normlab.analysis import plotting

STEPS = (100, 200, 300, 400)
# Accuracy at each step. The baseline is best, 0.80, at 400.
PAPER_LIKE = {
  'Inception': (0.40, 0.60, 0.70, 0.80),
  'BN-Baseline': (0.81, 0.82, 0.83, 0.84),
  'BN-x5': (0.85, 0.86, 0.87, 0.88),
  'BN-x30': (0.50, 0.82, 0.90, 0.91),
  'BN-x5-Sigmoid': (0.30, 0.50, 0.60, 0.70),
  'Inception-x5': (0.10, 0.10, 0.10, 0.10),
  'Inception-Sigmoid': (0.10, 0.11, 0.10, 0.10),
}


def fabricate(curves=PAPER_LIKE, seeds=(0, 1, 2), diverged=()):
  rows = []
  for network, accuracies in curves.items():
    for seed in seeds:
      ends = (network, seed) in diverged
      for step, accuracy in zip(STEPS, accuracies, strict=True):
        rows.append(
          {
            'network': network,
            'seed': seed,
            'step': step,
            'accuracy': accuracy,
            'status': 'diverged' if ends else 'done',
            'diverged_at': 150.0 if ends else math.nan,
          }
        )
  return pd.DataFrame(rows)


def with_curve(network, accuracies):
  return fabricate({**PAPER_LIKE, network: accuracies})


def verdicts(table):
  return dict(speedup.judge(table)[['claim', 'verdict']].to_numpy())


def test_steps_and_ratios_are_those_of_the_fabricated_curves():
  summary = speedup.analyze(fabricate()).set_index('network')
  assert speedup.target_of(fabricate()) == pytest.approx(0.8)
  assert speedup.baseline_steps(fabricate()) == 400
  assert list(summary['steps_to_match_mean'][:4]) == [400, 100, 100, 200]
  assert list(summary['speed_up_mean'][:4]) == [1, 4, 4, 2]
  assert summary.loc['BN-x5-Sigmoid', 'seeds_matched'] == 0
  assert math.isnan(summary.loc['BN-x5-Sigmoid', 'steps_to_match_mean'])
  assert list(summary['seeds']) == [3] * 7


def test_the_baseline_is_measured_as_the_others_are():
  table = fabricate()
  early = (table['network'] == 'Inception') & (table['seed'] == 0)
  late = (table['network'] == 'Inception') & (table['seed'] == 1)
  table.loc[early & (table['step'] == 200), 'accuracy'] = 0.83
  table.loc[late & (table['step'] == 400), 'accuracy'] = 0.79
  # Seed 0 matches at 200, seed 1 never does within 400, seed 2 at 400.
  assert speedup.baseline_steps(table) == pytest.approx(1000 / 3)
  ratio = speedup.outcomes(table).loc[('BN-x5', 0), 'speed_up']
  assert ratio == pytest.approx(10 / 3)


def test_the_papers_row_stands_beside_ours():
  row = speedup.analyze(fabricate()).set_index('network').loc['BN-x5']
  assert row['paper_steps'] == 2.1e6
  assert row['paper_speed_up'] == pytest.approx(14.76, abs=0.01)
  assert row['paper_best_accuracy'] == pytest.approx(0.73)
  text = speedup.present(fabricate()).set_index('network')
  assert text.loc['BN-x30', 'paper: speed-up'] == '11.5'
  assert text.loc['BN-x5-Sigmoid', 'paper: steps'] == 'never'
  assert text.loc['BN-x5-Sigmoid', 'speed-up'] == 'never'


def test_the_spread_over_seeds_is_in_the_tables():
  table = fabricate()
  late = (table['network'] == 'BN-x5') & (table['seed'] == 2)
  table.loc[late & (table['step'] == 100), 'accuracy'] = 0.1
  text = speedup.present(table).set_index('network')
  assert text.loc['BN-x5', 'steps to match'] == '133 (100\N{EN DASH}200)'
  table.loc[late, 'accuracy'] = 0.1
  text = speedup.present(table).set_index('network')
  assert text.loc['BN-x5', 'steps to match'] == '100 in 2 of 3 seeds'


def test_a_paper_like_table_makes_the_claims_hold():
  expected = {1: 'holds', 2: 'does not hold here', 3: 'holds'}
  expected |= {4: 'holds', 5: 'holds'}
  assert verdicts(fabricate()) == expected


@pytest.mark.parametrize(
  ('claim', 'network', 'accuracies', 'verdict'),
  [
    (1, 'BN-Baseline', (0.1, 0.81, 0.81, 0.81), 'does not hold here'),
    (1, 'BN-Baseline', (0.1, 0.1, 0.1, 0.1), 'does not hold here'),
    (2, 'BN-Baseline', (0.1, 0.81, 0.81, 0.81), 'holds'),
    (3, 'BN-x30', (0.85, 0.9, 0.9, 0.9), 'does not hold here'),
    (3, 'BN-x30', (0.1, 0.82, 0.86, 0.87), 'does not hold here'),
    (4, 'BN-x5-Sigmoid', (0.1, 0.1, 0.1, 0.15), 'does not hold here'),
    (4, 'Inception-Sigmoid', (0.1, 0.3, 0.5, 0.6), 'does not hold here'),
    (5, 'Inception-x5', (0.5, 0.7, 0.8, 0.8), 'does not hold here'),
  ],
)
def test_a_claim_can_fail(claim, network, accuracies, verdict):
  assert verdicts(with_curve(network, accuracies))[claim] == verdict


def test_seeds_that_disagree_are_inconclusive():
  table = fabricate()
  odd = (table['network'] == 'BN-Baseline') & (table['seed'] == 1)
  table.loc[odd, 'accuracy'] = 0.1
  assert verdicts(table)[1] == 'inconclusive'


def test_a_divergence_counts_for_claim_5_and_is_listed():
  table = with_curve('Inception-x5', (0.5, 0.7, 0.8, 0.8))
  table.loc[table['network'] == 'Inception-x5', 'diverged_at'] = 150.0
  assert verdicts(table)[5] == 'holds'
  text = speedup.present(table).set_index('network')
  assert text.loc['Inception-x5', 'diverged at step'] == '150, 150, 150'


def test_the_networks_are_the_papers_and_two_controls():
  assert list(speedup.NETWORKS)[:5] == [
    'Inception',
    'BN-Baseline',
    'BN-x5',
    'BN-x30',
    'BN-x5-Sigmoid',
  ]
  config = {n: speedup.network_config('digits', n, 0) for n in speedup.NETWORKS}
  rate = {
    n: c.optimizer.learning_rate * c.optimizer.learning_rate_multiplier
    for n, c in config.items()
  }
  assert rate['BN-Baseline'] == rate['Inception']
  assert rate['BN-x5'] == rate['Inception-x5'] == 5 * rate['Inception']
  assert rate['BN-x30'] == pytest.approx(30 * rate['Inception'])
  slow, fast = config['BN-Baseline'], config['BN-x5']
  assert slow.model.dropout == 0.4 and fast.model.dropout == 0
  assert slow.schedule.decay_steps == 6 * fast.schedule.decay_steps
  assert slow.optimizer.weight_decay == pytest.approx(
    5 * fast.optimizer.weight_decay
  )


@pytest.mark.parametrize('scale', speedup.SCALES)
def test_every_run_is_distinct_and_has_several_seeds(scale):
  runs = speedup.runs(scale)
  assert len({records.run_name(run.config) for run in runs}) == len(runs)
  assert len(runs) == 7 * len(speedup.SEEDS) >= 21


@pytest.mark.parametrize('network', speedup.NETWORKS)
def test_every_network_is_a_valid_config(network):
  validation.check(speedup.network_config('digits', network, 0))


def test_the_caption_says_what_differs_from_the_paper():
  caption = speedup.caption('digits')
  for word in ('digits', 'width', 'batch', 'steps', 'decaying', 'ImageNet'):
    assert word in caption


def test_the_figure_has_diamonds_crosses_and_the_papers_panel(tmp_path):
  table = fabricate(diverged={('Inception-x5', 0)})
  figure = speedup.plot(table, 'digits')
  ours, paper = figure.axes
  labels = [text.get_text() for text in figure.legends[0].get_texts()]
  assert labels == list(speedup.NETWORKS)
  assert len([line for line in paper.lines if len(line.get_xdata()) > 2]) == 5
  diamonds = [line for line in ours.lines if line.get_marker() == 'D']
  assert [d.get_xdata()[0] for d in diamonds] == [400, 100, 100, 200]
  paper_diamonds = [d for d in paper.lines if d.get_marker() == 'D']
  assert sorted(d.get_xdata()[0] for d in paper_diamonds) == [
    2.1,
    2.7,
    13.3,
    31,
  ]
  crosses = [line for line in ours.lines if line.get_marker() == 'x']
  assert sorted(x for line in crosses for x in line.get_xdata()) == [150]
  plotting.save(figure, tmp_path / 'figure')
  assert matplotlib.image.imread(tmp_path / 'figure.png').std() > 0.05
  assert '<svg' in (tmp_path / 'figure.svg').read_text()


def reproduce(folder):
  normlab.commands.reproduce.reproduce(
    'speedup', speedup, scale='digits', workdir=str(folder), plot_only=True
  )


def test_plot_only_trains_nothing_and_says_what_is_missing(tmp_path):
  with pytest.raises(records.RecordError, match='21 of 21 runs') as error:
    reproduce(tmp_path)
  assert '\n' not in str(error.value) and not list(tmp_path.iterdir())


def test_results_are_written_from_records_alone(tmp_path, capsys):
  for run in speedup.runs('digits'):
    record = records.Record(tmp_path / records.run_name(run.config))
    record.create()
    record.write_config(run.config)
    record.write_status('done', step=400, rows=len(STEPS))
    curve = PAPER_LIKE[run.labels['network']]
    (record.path / records.METRICS).write_text(
      ''.join(
        f'{{"step": {s}, "split": "validation", "accuracy": {a}, "loss": 1}}\n'
        for s, a in zip(STEPS, curve, strict=True)
      )
    )
  reproduce(tmp_path)
  written = {p.name for p in tmp_path.glob('speedup_digits.*')}
  assert written == {f'speedup_digits.{s}' for s in ('md', 'csv', 'png', 'svg')}
  csv = pd.read_csv(tmp_path / 'speedup_digits.csv').set_index('network')
  assert csv.loc['BN-x30', 'speed_up_mean'] == 2
  text = (tmp_path / 'speedup_digits.md').read_text()
  assert text in capsys.readouterr().out + '\n'
  assert text.count('holds') == 4 and 'does not hold here' in text
  with (record.path / records.METRICS).open('r+') as file:
    file.truncate(200)
  with pytest.raises(records.RecordError, match='is damaged: it ends at'):
    reproduce(tmp_path)
  for name in (records.METRICS, records.STATUS):
    (record.path / name).unlink()
    (record.path / name).mkdir()
    with pytest.raises(records.RecordError, match=name) as error:
      reproduce(tmp_path)
    assert record.path.name in str(error.value) and '\n' not in str(error.value)
  assert (tmp_path / 'speedup_digits.md').read_text() == text
