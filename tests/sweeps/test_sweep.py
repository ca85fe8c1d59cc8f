"""A sweep from its config file to its results, in this process."""

import json

import pandas as pd
import pytest
from swept_configs import tiny_config

from normlab import errors, records
from normlab.commands import config_files, sweep
from normlab.sweeps import plan, sweep_folder
from normlab.sweeps.results import sweep_table
from normlab.training import loop

FILE = """
from configs import base

def get_hyper(hyper):
  return hyper.product([
    hyper.sweep('config.optimizer.learning_rate', [1e-2, 1e30]),
    hyper.chainit([hyper.sweep('seed', [0, 1]), hyper.fixed('config.seed', 1)]),
  ])
"""


@pytest.fixture
def file(tmp_path):
  path = tmp_path / 'swept.py'
  path.write_text(FILE)
  return path


def run(file, workdir, **arguments):
  arguments = {'runner': {'name': 'one_process'}, **arguments}
  config = arguments.pop('config', None) or tiny_config()
  module = config_files.load(str(file))
  return sweep.sweep(config, module, str(workdir), **arguments)


def planned_of(file):
  rows = plan.rows_of(config_files.load(str(file)))
  return plan.members(tiny_config(), rows)


def contents(place):
  return {
    path.relative_to(place): path.read_bytes()
    for path in place.rglob('*')
    if path.is_file()
  }


def test_a_sweep_is_trained_written_and_not_trained_again(
  file, tmp_path, capsys
):
  workdir = tmp_path / 'sweep'
  assert run(file, workdir) == sweep.DONE
  printed = capsys.readouterr()
  assert 'rows 2-3 have the same config' in printed.err
  table = pd.read_csv(workdir / 'sweep.csv')
  assert list(table['status']) == ['done', 'done', 'diverged', 'diverged']
  assert list(table['seed']) == [0, 1, 0, 1]
  assert {path.parent.name for path in workdir.glob('*/config.json')} == {
    *table['run']
  }
  assert '| diverged |' in printed.out and 'sweep.png' in printed.out
  for name in sweep_table.FILES:
    assert (workdir / name).stat().st_size
  before = contents(workdir)
  assert run(file, workdir) == sweep.DONE
  assert contents(workdir) == before


def test_rows_in_another_order_are_the_same_sweep(file, tmp_path):
  rows = [{'seed': 0}, {'config.seed': 1, 'norm.name': 'batch'}]
  place = tmp_path / 'sweep'
  for listed in (rows, rows[::-1]):
    planned = plan.members(tiny_config(), listed)
    sweep_folder.check_usable(place, planned)
    place.mkdir(exist_ok=True)
    sweep_folder.write_plan(place, planned)


def test_a_folder_of_another_sweep_is_refused_and_left_alone(file, tmp_path):
  workdir = tmp_path / 'sweep'
  workdir.mkdir()
  sweep_folder.write_plan(workdir, plan.members(tiny_config(), [{'seed': 7}]))
  before = contents(workdir)
  for dry_run in (False, True):
    with pytest.raises(records.RecordError, match='another sweep') as error:
      run(file, workdir, dry_run=dry_run)
    assert 'only' in str(error.value) and '--workdir' in str(error.value)
  assert contents(workdir) == before


def test_a_sweep_of_another_config_says_the_field(tmp_path):
  rows = [{'seed': 1}, {'seed': 2}]
  sweep_folder.write_plan(tmp_path, plan.members(tiny_config(), rows))
  longer = plan.members(tiny_config(total_steps=5), rows)
  with pytest.raises(records.RecordError, match='total_steps is 4 there, 5'):
    sweep_folder.check_usable(tmp_path, longer)


@pytest.mark.parametrize('name', ['sweep.csv', 'sweep.png', records.CONFIG])
def test_files_of_others_are_not_overwritten(file, tmp_path, name):
  workdir = tmp_path / 'sweep'
  workdir.mkdir()
  (workdir / name).write_text('{}')
  with pytest.raises(records.RecordError, match=name):
    run(file, workdir)
  assert contents(workdir) == {(workdir / name).relative_to(workdir): b'{}'}


def test_a_damaged_plan_is_said(file, tmp_path):
  (tmp_path / records.SWEEP).write_text('{')
  with pytest.raises(records.RecordError, match='damaged'):
    run(file, tmp_path)


def test_a_second_process_on_the_same_sweep_is_refused(file, tmp_path):
  workdir = tmp_path / 'sweep'
  with records.Record(workdir).locked():
    with pytest.raises(records.RecordError, match='in use'):
      run(file, workdir)
  assert not (workdir / records.SWEEP).exists()


def test_a_run_without_a_result_is_listed_and_told_by_the_status(
  file, tmp_path, capsys
):
  workdir = tmp_path / 'sweep'
  planned = planned_of(file)
  with records.Record(workdir / planned[0].name).locked():
    assert run(file, workdir) == sweep.INCOMPLETE
  table = pd.read_csv(workdir / 'sweep.csv')
  assert list(table['status']) == ['failed', 'done', 'diverged', 'diverged']
  assert 'in use by another process' in table['error'][0]


def test_a_run_that_cannot_be_read_is_listed_and_told_by_the_status(
  file, tmp_path, capsys
):
  workdir = tmp_path / 'sweep'
  planned = planned_of(file)
  damaged = workdir / planned[0].name / records.CONFIG
  damaged.parent.mkdir(parents=True)
  damaged.write_text('{')
  assert run(file, workdir, dry_run=True) == sweep.DONE
  printed = capsys.readouterr().out
  assert f"left out: '{damaged}' is damaged" in printed
  assert '4 runs, 3 of them to train' in printed
  assert run(file, workdir) == sweep.INCOMPLETE
  table = pd.read_csv(workdir / 'sweep.csv')
  assert list(table['status']) == ['failed', 'done', 'diverged', 'diverged']
  assert f"'{damaged}' is damaged" in table['error'][0]
  assert damaged.read_text() == '{'


def test_a_run_is_refused_in_the_folder_of_a_sweep(tmp_path):
  sweep_folder.write_plan(tmp_path, plan.members(tiny_config(), [{'seed': 7}]))
  before = contents(tmp_path)
  with pytest.raises(records.RecordError, match=r'holds sweep\.json but no'):
    loop.train(tiny_config(), str(tmp_path))
  assert contents(tmp_path) == before


def test_a_plan_that_cannot_be_written_is_one_line(tmp_path):
  planned = plan.members(tiny_config(), [{'seed': 7}])
  (tmp_path / records.SWEEP).mkdir()
  with pytest.raises(records.RecordError, match='cannot be written') as error:
    sweep_folder.write_plan(tmp_path, planned)
  assert str(tmp_path / records.SWEEP) in str(error.value)
  assert [path.name for path in tmp_path.iterdir()] == [records.SWEEP]


def test_a_dry_run_says_the_runs_and_writes_nothing(file, tmp_path, capsys):
  workdir = tmp_path / 'sweep'
  assert run(file, workdir, dry_run=True) == sweep.DONE
  printed = capsys.readouterr().out
  assert '4 runs, 4 of them to train, one after another' in printed
  assert '| 2, 3 |' in ' '.join(printed.split())
  assert 'in one process: 16 steps in all' in printed
  assert not workdir.exists()


def test_a_dry_run_says_what_is_left(file, tmp_path, capsys):
  workdir = tmp_path / 'sweep'
  run(file, workdir)
  before = contents(workdir)
  run(file, workdir, dry_run=True)
  printed = capsys.readouterr().out
  assert '4 runs, 0 of them to train' in printed and '| diverged |' in printed
  assert contents(workdir) == before


@pytest.mark.parametrize(
  ('text', 'words'),
  [
    ('', ['no function get_hyper']),
    ('get_hyper = 5', ['no function get_hyper']),
    ('def get_hyper(hyper): return hyper.sweeep("a", [1])', ['sweeep']),
    ('def get_hyper(hyper): return {}["key"]', ['KeyError', "'key'"]),
    ('def get_hyper(hyper): return hyper.sweep("a", [])', ["'a'", 'no values']),
    ('def get_hyper(hyper): pass', ['None', 'hyper.sweep']),
    ('def get_hyper(hyper): return []', ['no rows']),
    ('def get_hyper(hyper): return [5]', ['row 1 is 5']),
    (
      'def get_hyper(hyper): return hyper.sweep("config.sed", [1, 2])',
      ['all 2 rows', "'sed'", "'seed'"],
    ),
  ],
)
def test_a_file_that_gives_no_sweep_is_one_line(tmp_path, text, words):
  file = tmp_path / 'swept.py'
  file.write_text(text)
  with pytest.raises(errors.ConfigError) as error:
    run(file, tmp_path / 'sweep')
  assert '\n' not in str(error.value)
  assert all(word in str(error.value) for word in words), error.value
  assert not (tmp_path / 'sweep').exists()


@pytest.mark.parametrize(
  ('options', 'words'),
  [
    ({'name': 'rays'}, ["'rays'", "'ray'", 'one_process']),
    ({'name': 'one_process', 'processes': 2}, ['--processes=2', 'processes']),
    ({'name': None, 'address': 'auto'}, ['--address=auto', '--runner=ray']),
    ({'name': 'processes', 'num_gpus': 1}, ['--num_gpus=1', '--runner=ray']),
  ],
)
def test_an_option_of_another_runner_is_refused(file, tmp_path, options, words):
  with pytest.raises(errors.ConfigError) as error:
    run(file, tmp_path / 'sweep', runner=options)
  assert all(word in str(error.value) for word in words), error.value


def test_the_plan_says_what_each_run_overrides(tmp_path):
  planned = plan.members(tiny_config(), [{'config.seed': 3}])
  sweep_folder.write_plan(tmp_path, planned)
  stored = json.loads((tmp_path / records.SWEEP).read_text())
  assert list(stored['runs'].values()) == [{'seed': 3}]
