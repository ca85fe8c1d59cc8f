"""The reproduce command, with a small experiment of two arms."""

import dataclasses
import gzip
import json
import re
import shutil

import pandas as pd
import pytest
from matplotlib.figure import Figure

from configs import base as configs
from experiments import base
from normlab import errors, records
from normlab.analysis import claim_plots, claims
from normlab.commands import reproduce as command
from normlab.runtime.interruption import InterruptedSweep

RATES = (0.01, 0.02)
SUFFIXES = (
  '.md',
  '.csv',
  '.verdicts.csv',
  '.curves.csv.gz',
  '.json',
  '.png',
  '.svg',
)


def config_of(scale, arm, seed):
  config = configs.get_config()
  config.label = f'{scale}-{arm}-{seed}'
  config.seed = seed
  config.total_steps, config.eval_every, config.log_every = 10, 5, 10
  config.model.name, config.model.widths = 'mlp', (4,)
  config.norm.name = arm
  config.optimizer.learning_rate = 0.5
  return config


def runs(scale):
  return [
    base.Run({'arm': arm, 'seed': seed}, config_of(scale, arm, seed))
    for seed in range(3)
    for arm in ('none', 'batch')
  ]


def plot(experiment, table, scale):
  figure = Figure()
  figure.suptitle(f'{experiment.target(table):.4f} at {scale}')
  return figure


def present(outcomes, target):
  return pd.DataFrame({'runs': [len(outcomes)], 'target': [f'{target:.4f}']})


EXPERIMENT = base.Experiment(
  scales={
    'small': base.Scale(None, rates=RATES),
    'again': base.Scale(None, rates=RATES, tuned_at='small'),
  },
  baseline='none',
  claims=(
    claims.Claim(
      1,
      'normalizing is as fast',
      'a paper',
      (
        claims.Comparison('ratio', 'steps_to_match', 'batch', '<', 5, 'none'),
        claims.Comparison('share', 'trains', 'batch', '>', 0.1),
      ),
    ),
  ),
  config_of=config_of,
  runs=runs,
  present=present,
  plot=plot,
)


@pytest.fixture
def trained(monkeypatch):
  """Names of the runs that were trained, each with an accuracy of its own."""
  names = []

  def train_all(found, runner, stop):
    if stop():
      raise InterruptedSweep('stopped')
    for path, config in found.items():
      record = records.Record(path)
      if record.is_finished:
        continue
      names.append(config.label)
      record.create()
      record.write_config(config)
      record.write_status('done', step=10, rows=2)
      # No short number: it has to survive a file of text.
      best = (
        0.7 - abs(config.optimizer.learning_rate - 0.01) + config.seed / 3e3
      )
      (record.path / records.METRICS).write_text(
        ''.join(
          f'{{"step": {step}, "split": "validation", '
          f'"accuracy": {accuracy}, "loss": {1 / 3}}}\n'
          for step, accuracy in ((5, best / 3), (10, best))
        )
      )

  monkeypatch.setattr(command, 'train_all', train_all)
  # Takes most of the time of these tests, and has its own.
  monkeypatch.setattr(claim_plots, 'forest', lambda ledger: Figure())
  return names


@pytest.fixture
def reproduce(tmp_path):
  def call(scale='small', experiment=EXPERIMENT, **kwargs):
    command.reproduce(
      'speed',
      experiment,
      scale=scale,
      workdir=str(tmp_path / 'runs'),
      committed=tmp_path / 'committed',
      **kwargs,
    )

  return call


@pytest.fixture
def results(tmp_path):
  return tmp_path / 'runs' / 'results'


def contents(folder):
  files = (path for path in folder.rglob('*') if path.is_file())
  return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def refused(reproduce, results, **kwargs):
  """The error, one line, of a call that leaves all files as they are."""
  before = contents(results)
  with pytest.raises((errors.ConfigError, records.RecordError)) as error:
    reproduce(**kwargs)
  assert contents(results) == before
  assert '\n' not in str(error.value)
  return str(error.value)


def test_trained_runs_become_files_and_a_ledger(
  tmp_path, capsys, reproduce, results
):
  """The only one that trains: nine runs of ten steps."""
  reproduce(runner={'name': 'one_process'})
  assert {*contents(results)} == {
    *(f'speed/small{suffix}' for suffix in SUFFIXES),
    *(f'claims{suffix}' for suffix in ('.md', '.csv', '.png', '.svg')),
  }
  text = (results / 'speed' / 'small.md').read_text()
  printed = capsys.readouterr().out
  assert text in printed and f'wrote {results / "claims.md"}' in printed
  titles = [line for line in text.splitlines() if line.startswith('## ')]
  assert titles == [
    f'## {title}'
    for title in ('Outcomes', 'Verdicts', 'Conclusions', 'Target', 'Made by')
  ]
  made = json.loads((results / 'speed' / 'small.json').read_text())
  assert made['command'] in text and 'jax' in made['versions']
  table = pd.read_csv(results / 'speed' / 'small.curves.csv.gz')
  assert len(table) == 9 * 2 and {*table['step']} == {5, 10}
  outcomes = pd.read_csv(results / 'speed' / 'small.csv')
  assert len(outcomes) == 6 and (outcomes['accuracy'] > 0).all()
  verdicts = pd.read_csv(results / 'speed' / 'small.verdicts.csv')
  assert verdicts['command'].tolist() == [made['command']] * 2
  assert len(list((tmp_path / 'runs').iterdir())) == 9 + 1


def test_finished_runs_are_not_trained_again(trained, reproduce, results):
  reproduce()
  assert len(trained) == 9
  before = contents(results)
  reproduce()
  assert len(trained) == 9
  assert contents(results) == before


def test_plot_only_gives_the_same_files_from_the_curves(
  trained, reproduce, results
):
  reproduce(tune=True)
  before = contents(results)
  count = len(trained)
  for path in results.rglob('*'):
    if path.is_file() and not path.name.endswith(
      ('.gz', '.json', '.tuning.csv')
    ):
      path.unlink()
  reproduce(plot_only=True)
  assert contents(results) == before and len(trained) == count


def test_plot_only_takes_committed_curves_where_there_are_no_own(
  tmp_path, trained, reproduce, results
):
  reproduce(tune=True)
  before = contents(results)
  shutil.copytree(results, tmp_path / 'committed')
  shutil.rmtree(tmp_path / 'runs')
  reproduce(plot_only=True)
  del before['speed/small.tuning.csv']
  assert contents(results) == before


def test_plot_only_without_curves_says_so_and_writes_nothing(
  tmp_path, trained, reproduce, results
):
  message = refused(reproduce, results, plot_only=True)
  assert 'none is committed' in message and 'without --plot_only' in message
  assert not trained and not list(tmp_path.iterdir())


def test_the_best_rate_of_the_grid_is_used_and_kept(
  trained, reproduce, results
):
  reproduce(tune=True)
  assert len(trained) == 6 + 9
  tuning = pd.read_csv(results / 'speed' / 'small.tuning.csv')
  assert {*zip(tuning['rate'], tuning['seed'], strict=True)} == {
    (rate, seed)
    for rate in RATES
    for seed in EXPERIMENT.scales['small'].tuning_seeds
  }
  made = json.loads((results / 'speed' / 'small.json').read_text())
  assert made['config']['optimizer.learning_rate'] == 0.01
  text = (results / 'speed' / 'small.md').read_text()
  (line,) = [line for line in text.splitlines() if 'taken' in line]
  assert '| 0.01 ' in line
  # Reused without --tune, also by the scale that shares it.
  reproduce()
  reproduce(scale='again')
  assert len(trained) == 6 + 9 + 9
  made = json.loads((results / 'speed' / 'again.json').read_text())
  assert made['config']['optimizer.learning_rate'] == 0.01


def test_a_committed_tuning_is_used_and_without_one_the_config_is(
  tmp_path, trained, reproduce, results
):
  reproduce()
  made = json.loads((results / 'speed' / 'small.json').read_text())
  assert made['config']['optimizer.learning_rate'] == 0.5
  table = pd.DataFrame({'rate': [0.02], 'seed': [103], 'accuracy': [0.5]})
  path = tmp_path / 'committed' / 'speed' / 'small.tuning.csv'
  path.parent.mkdir(parents=True)
  table.to_csv(path, index=False)
  reproduce()
  made = json.loads((results / 'speed' / 'small.json').read_text())
  assert made['config']['optimizer.learning_rate'] == 0.02


def test_the_ledger_holds_all_scales_of_the_folder(trained, reproduce, results):
  reproduce()
  reproduce(scale='again')
  ledger = pd.read_csv(results / 'claims.csv')
  assert ledger['scale'].tolist() == ['again', 'again', 'small', 'small']
  text = (results / 'claims.md').read_text()
  assert 'speed/again.md' in text and 'speed/small.png' in text


def test_curves_of_another_version_name_the_field(trained, reproduce, results):
  reproduce()
  path = results / 'speed' / 'small.json'
  text = path.read_text()
  path.write_text(text.replace('"batch_size": 32', '"batch_size": 16'))
  message = refused(reproduce, results, plot_only=True)
  assert "config.batch_size of 'none, seed 100' is 16 there and 32 now" in (
    message
  )
  assert 'small.curves.csv.gz' in message and '--plot_only' in message


@pytest.mark.parametrize(
  ('key', 'words'),
  [
    ('batch, seed 2', "it has no run 'batch, seed 2'"),
    (None, "its run 'group, seed 0' is none now"),
  ],
)
def test_curves_of_other_runs_name_the_run(
  key, words, trained, reproduce, results
):
  reproduce()
  path = results / 'speed' / 'small.json'
  made = json.loads(path.read_text())
  if key:
    del made['runs'][key]
  else:
    made['runs']['group, seed 0'] = {}
  path.write_text(json.dumps(made))
  assert words in refused(reproduce, results, plot_only=True)


def cut(content):
  return content[: len(content) // 2]


def flip(content):
  middle = len(content) // 2
  return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def of_text(replacing, by):
  """Damage within a compressed table."""
  return lambda content: gzip.compress(
    gzip.decompress(content).replace(replacing, by)
  )


@pytest.mark.parametrize(
  ('suffix', 'damage'),
  [
    ('.curves.csv.gz', cut),
    ('.curves.csv.gz', flip),
    ('.curves.csv.gz', lambda content: b''),
    ('.curves.csv.gz', lambda content: b'no gzip'),
    ('.curves.csv.gz', of_text(b'accuracy', b'accurate')),
    ('.curves.csv.gz', of_text(b'loss', b'lost')),
    ('.curves.csv.gz', of_text(b',10,', b',ten,')),
    ('.curves.csv.gz', of_text(b'batch,', b'group,')),
    ('.json', cut),
    ('.json', lambda content: b'[]'),
    ('.json', lambda content: b'1'),
    ('.json', lambda content: b'\xff'),
    ('.json', lambda content: content.replace(b'"runs"', b'"run"')),
    ('.json', lambda content: content.replace(b'"seconds": ', b'"seconds": "')),
    ('.tuning.csv', lambda content: b'rate,accuracy\n'),
    ('.tuning.csv', lambda content: b'rate,accuracy\nfast,0.5\n'),
    ('.tuning.csv', lambda content: b'"'),
  ],
)
def test_a_damaged_result_is_named_and_nothing_written(
  suffix, damage, trained, reproduce, results
):
  reproduce(tune=True)
  path = results / 'speed' / f'small{suffix}'
  path.write_bytes(damage(path.read_bytes()))
  message = refused(reproduce, results, plot_only=True)
  assert str(path) in message


@pytest.mark.parametrize(
  'damage',
  [
    lambda content: content[:-100],
    lambda content: b'',
    lambda content: content.replace(b'margin', b'margins'),
    lambda content: content.replace(b'share', b'shares'),
    lambda content: content.replace(b'inconclusive', b'perhaps').replace(
      b'holds', b'perhaps'
    ),
    lambda content: content.replace(b'ratio,', b'ratio,,'),
  ],
)
def test_damaged_verdicts_of_another_scale_are_named(
  damage, trained, reproduce, results
):
  reproduce()
  reproduce(scale='again')
  path = results / 'speed' / 'again.verdicts.csv'
  path.write_bytes(damage(path.read_bytes()))
  message = refused(reproduce, results)
  assert str(path) in message


def test_a_run_without_a_result_is_said(monkeypatch, reproduce, results):
  monkeypatch.setattr(command, 'train_all', lambda *args, **kwargs: None)
  message = refused(reproduce, results)
  assert message.startswith('9 of 9 runs have no result')
  assert 'never trained' in message and not results.exists()


def test_a_damaged_record_is_said_and_nothing_overwritten(
  trained, reproduce, results, tmp_path
):
  reproduce()
  run = next((tmp_path / 'runs').glob('small-batch-1*'))
  with (run / records.METRICS).open('r+') as file:
    file.truncate(100)
  assert run.name in refused(reproduce, results)


def test_an_interruption_writes_nothing(trained, reproduce, results):
  with pytest.raises(InterruptedSweep):
    reproduce(stop=lambda: True)
  assert not trained and not results.exists()


@pytest.mark.parametrize('plot_only', [True, False])
def test_an_unknown_scale_lists_those_that_are(
  plot_only, trained, reproduce, results
):
  message = refused(reproduce, results, scale='smal', plot_only=plot_only)
  assert "'smal'" in message and "'small'" in message and not trained


def test_the_list_has_questions_claims_scales_and_measured_times(
  tmp_path, trained, reproduce
):
  reproduce()
  lines = command.listing(
    {'speed': ('How fast?', EXPERIMENT)}, tmp_path / 'runs' / 'results'
  ).splitlines()
  assert lines[:2] == ['speed: How fast?', '  claim 1: normalizing is as fast']
  assert re.fullmatch(
    r'  --scale=small: 9 runs, [0-9.]+ minutes of one process \(.*\)', lines[2]
  )
  assert lines[3] == '  --scale=again: 9 runs, not measured yet'


def test_a_computed_experiment_trains_nothing_and_has_all_files(
  trained, reproduce, results, capsys
):
  count = []

  def compute(scale):
    count.append(scale)
    return pd.DataFrame(
      {'arm': ['A', 'A', 'B', 'B'], 'seed': [0, 1, 0, 1], 'kappa': [1 / 3] * 4}
    )

  part = claims.Comparison('share', 'is_bowl', 'B', '>', 0.1)
  experiment = base.Experiment(
    scales={'small': base.Scale()},
    claims=(claims.Claim(25, 'a bowl', 'a paper', (part,)),),
    compute=compute,
    further_outcomes=lambda run: {'is_bowl': bool((run['kappa'] < 1).all())},
    present=lambda outcomes, target: pd.DataFrame({'target': [str(target)]}),
    plot=lambda experiment, table, scale: Figure(),
  )
  reproduce(experiment=experiment)
  before = contents(results)
  text = before['speed/small.md'].decode()
  assert 'Computed in ' in text and '0 runs' not in text
  assert '## Target' not in text and '## Tuning' not in text
  reproduce(experiment=experiment, plot_only=True)
  assert contents(results) == before and count == ['small'] and not trained
  lines = command.listing({'speed': ('How?', experiment)}, results)
  assert '--scale=small: computed, 0.0 minutes' in lines
  message = refused(reproduce, results, experiment=experiment, tune=True)
  assert 'tunes nothing' in message and '--tune' in message


def test_arms_tuned_each_take_their_own_rate_and_others_the_baselines(
  trained, reproduce, results
):
  experiment = dataclasses.replace(EXPERIMENT, tuned_arms=('batch',))
  reproduce(experiment=experiment, tune=True)
  tuning = pd.read_csv(results / 'speed' / 'small.tuning.csv')
  assert tuning['arm'].unique().tolist() == ['batch']
  made = json.loads((results / 'speed' / 'small.json').read_text())
  rate = 'optimizer.learning_rate'
  # The baseline has no tuning: its config's.
  assert made['runs']['batch, seed 0'][rate] == 0.01
  assert made['runs']['none, seed 0'][rate] == 0.5
  own = pd.DataFrame(
    {'arm': ['none', 'batch'], 'rate': [0.1, 0.2], 'accuracy': [1.0, 1.0]}
  )
  found = command.with_rate(EXPERIMENT, runs('small'), own.iloc[:1])
  assert {run.config.optimizer.learning_rate for run in found} == {0.1}
  found = command.with_rate(EXPERIMENT, runs('small'), own)
  assert [run.config.optimizer.learning_rate for run in found[:2]] == [0.1, 0.2]


def test_what_is_measured_is_in_the_curves_and_redrawn_from_them(
  trained, reproduce, results
):
  measured = pd.DataFrame({'cosine/layer2': [0.25, 1 / 3]}, index=[3, 10])
  seen = []

  def plot(experiment, table, scale):
    seen.append(table['cosine/layer2'].tolist())
    return Figure()

  experiment = dataclasses.replace(
    EXPERIMENT,
    measure=lambda record: measured,
    further_outcomes=lambda run: {'cosine': run['cosine/layer2'].max()},
    plot=plot,
  )
  reproduce(experiment=experiment)
  before = contents(results)
  table = pd.read_csv(results / 'speed' / 'small.curves.csv.gz')
  assert table['step'].tolist() == [3, 5, 10] * 9
  outcomes = pd.read_csv(results / 'speed' / 'small.csv')
  assert (outcomes['cosine'] == 0.33333).all() and len(outcomes) == 6
  reproduce(experiment=experiment, plot_only=True)
  assert contents(results) == before
  assert str(seen[0]) == str(seen[1])
