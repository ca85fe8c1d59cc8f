"""Checkpoints on disk, evaluated; a run of four steps on the digits."""

import json
import math
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from normlab import errors, records
from normlab.commands.evaluate import Evaluation, evaluate_run
from normlab.runtime import progress_bar
from normlab.training import evaluation, loop


def make_config(**fields):
  config = base.get_config()
  config.update({'total_steps': 4, 'checkpoint_every': 2, 'eval_every': 4})
  config.update({'batch_size': 8, 'recalibration_examples': 16, **fields})
  config.model.update({'name': 'mlp', 'widths': (4,)})
  return config


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """The folder of a run; tests that change it take a copy."""
  folder = tmp_path_factory.mktemp('runs') / 'run'
  config = make_config(ema_decay=0.5)
  loop.train(config, folder, progress=lambda _: progress_bar.Progress())
  return folder


@pytest.fixture
def copy(finished, tmp_path):
  return shutil.copytree(finished, tmp_path / 'run')


@pytest.fixture
def untrained(tmp_path):
  """The folder of a run that has a config and nothing else."""
  record = records.Record(tmp_path / 'run')

  def make(**fields):
    config = make_config()
    config.update(fields)
    record.create()
    record.write_config(config)
    return record.path

  return make


def content(folder):
  return {
    path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
    for path in sorted(folder.rglob('*'))
  }


def test_the_last_checkpoint_gives_the_last_row_of_the_record(finished):
  before = content(finished)
  found = evaluate_run(finished)
  row = records.Record(finished).metrics()[-1]
  assert row['split'] == 'test' and row['step'] == 4
  for name, value in found.values.items():
    assert row[name] == pytest.approx(value, rel=1e-6)
  assert found.title == (
    f'{finished}: done, checkpoint of step 4; test, running statistics'
  )
  assert content(finished) == before


def test_a_table_has_a_line_a_number():
  values = {'loss': 1.5, 'ece': math.nan, 'class_accuracy': [0.25, None]}
  lines = Evaluation('run', values).markdown().splitlines()
  assert lines[:2] == ['run', '']
  rows = [
    [cell.strip() for cell in line.split('|')[1:-1]] for line in lines[2:]
  ]
  assert rows[0] == ['metric', 'value']
  assert rows[2:] == [
    ['loss', '1.5000'],
    ['ece', 'nan'],
    ['class_accuracy of 0', '0.2500'],
    ['class_accuracy of 1', '-'],
  ]


def test_what_is_asked_for_is_what_is_evaluated(finished):
  asked = [
    {},
    {'split': 'validation'},
    {'step': 2},
    {'ema': True},
    {'statistics': 'batch'},
  ]
  losses = set()
  for arguments in asked:
    found = evaluate_run(finished, **arguments)
    losses.add(found.values['loss'])
    assert len(found.values['class_accuracy']) == 10
    assert f'step {arguments.get("step", 4)};' in found.title
    assert f'{arguments.get("statistics", "running")} stat' in found.title
    assert found.title.endswith('averaged parameters') == ('ema' in arguments)
  assert len(losses) == len(asked)


def test_the_batch_size_does_not_change_running_statistics(finished):
  ours, theirs = (evaluate_run(finished, batch_size=n) for n in (7, None))
  assert ours.values['loss'] == pytest.approx(theirs.values['loss'], rel=1e-5)
  assert ours.values['class_accuracy'] == theirs.values['class_accuracy']


def test_a_batch_that_does_not_fit_into_memory_is_one_line(
  finished, monkeypatch
):
  def too_large(*args, **kwargs):
    return jnp.zeros(2**55, np.uint8)

  monkeypatch.setattr(evaluation, 'evaluate', too_large)
  with pytest.raises(errors.ConfigError, match='out of memory: .* GiB'):
    evaluate_run(finished)


@pytest.mark.parametrize('status', ['interrupted', 'diverged', 'running'])
def test_a_run_that_has_not_finished_says_so(copy, status):
  records.Record(copy).write_status(status, step=4, rows=0)
  shutil.rmtree(copy / 'checkpoints' / '4')
  found = evaluate_run(copy, best=False)
  assert f': {status}, checkpoint of step 2;' in found.title


def test_the_best_checkpoint_is_that_of_the_validation_accuracy(finished):
  # The one evaluation of this run was at its last step.
  found = evaluate_run(finished, best=True)
  assert 'step 4;' in found.title


@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    ({'statistics': 'batches'}, ["'batches'", "'batch'", 'recalibrated']),
    ({'split': 'tests'}, ["'tests'", "'test'", 'validation']),
    ({'batch_size': 0}, ['batch_size=0', 'at least 1']),
    ({'batch_size': -3}, ['batch_size=-3', 'at least 1']),
    ({'step': 3}, ['step 3', '2, 4']),
    ({'step': -1}, ['step -1', '2, 4']),
    ({'step': 2, 'best': True}, ['step=2', 'best=True']),
  ],
  ids=str,
)
def test_what_a_run_does_not_have_is_one_line(finished, arguments, words):
  before = content(finished)
  assert_refused(words, finished, **arguments)
  assert content(finished) == before


def assert_refused(words, folder, **arguments):
  refusals = (errors.ConfigError, records.RecordError)
  with pytest.raises(refusals) as caught:
    evaluate_run(folder, **arguments)
  message = str(caught.value)
  assert '\n' not in message
  for word in words:
    assert word in message


def test_a_folder_without_a_run_is_said(tmp_path):
  for folder in (tmp_path, tmp_path / 'absent'):
    assert_refused([str(folder), 'config.json'], folder)
  assert list(tmp_path.iterdir()) == []


def test_a_run_without_checkpoints_is_said(untrained):
  folder = untrained()
  assert_refused([str(folder), 'no checkpoint'], folder)
  assert not (folder / 'checkpoints').exists()


def test_averages_that_the_run_has_not_kept_are_said(untrained):
  assert_refused(['ema=True', 'ema_decay'], untrained(), ema=True)


@pytest.mark.parametrize('statistics', ['batch', 'recalibrated'])
def test_statistics_that_the_norm_has_not_are_said(untrained, statistics):
  folder = untrained(norm={'name': 'layer'})
  words = [f"statistics='{statistics}'", "'running'", "'layer'"]
  assert_refused(words, folder, statistics=statistics)


def test_a_damaged_checkpoint_is_said(copy):
  for file in (copy / 'checkpoints' / '4' / 'state').glob('**/d/*'):
    file.write_bytes(file.read_bytes()[:-40])
  before = content(copy)
  assert_refused(['checkpoints/4', 'damaged'], copy)
  assert content(copy) == before
  assert 'step 2;' in evaluate_run(copy, step=2).title


def test_a_checkpoint_that_is_being_written_is_left_alone(copy):
  started = copy / 'checkpoints' / '6.orbax-checkpoint-tmp'
  shutil.copytree(copy / 'checkpoints' / '4', started)
  (started / '_CHECKPOINT_METADATA').touch()
  before = content(copy)
  assert 'step 4;' in evaluate_run(copy).title
  assert content(copy) == before


def test_a_damaged_config_is_said(copy):
  config = json.loads((copy / 'config.json').read_text())
  config['batch_size'] = -1
  (copy / 'config.json').write_text(json.dumps(config))
  assert_refused(['batch_size=-1'], copy)


def test_a_run_from_before_a_field_was_added_is_evaluated(copy, finished):
  config = json.loads((copy / 'config.json').read_text())
  del config['code_dir'], config['metrics'], config['probes']
  for section in ('model', 'norm', 'optimizer', 'schedule'):
    del config[section]['options']
  (copy / 'config.json').write_text(json.dumps(config))
  assert evaluate_run(copy).values == evaluate_run(finished).values
