"""A run that is stopped and continued is the run that never was stopped."""

import itertools
import json
import os
import pathlib
import random
import signal
import time
from unittest import mock

import numpy as np
import pytest
import stopped_runs
from tensorboard.backend.event_processing import event_accumulator

from normlab import records
from normlab.journal import writers
from normlab.runtime import progress_bar
from normlab.runtime.interruption import STATUS, Interrupted
from normlab.training import compiled_calls, evaluation, loop

# State of every kind: an optimizer's, a norm's, an average of the parameters,
# dropout and augmentation by keys, a window of steps that is not written yet.
FULL = {
  'model.dropout': 0.2,
  'norm.name': 'batch_renorm',
  'norm.schedule_scale': 0.01,
  'optimizer.name': 'adam',
  'optimizer.learning_rate': 0.003,
  'data.random_crop': 1,
  'ema_decay': 0.99,
  'total_steps': 40,
  'eval_every': 9,
  'log_every': 4,
  'checkpoint_every': 6,
  'probes.names': ('affine', 'outputs', 'renorm'),
  'probes.every': 8,
}


class Watched(progress_bar.Progress):
  """Remembers warnings."""

  def __init__(self):
    self.warnings = []

  def warn(self, text):
    self.warnings.append(text)


def train(config, folder, *, calls=None):
  """Trains in this process, at most some calls of the compiled program."""
  made, display = [], Watched()
  run_steps = compiled_calls.run_steps

  def counted(*args):
    made.append(args)
    return run_steps(*args)

  with mock.patch.object(compiled_calls, 'run_steps', counted):
    try:
      loop.train(
        config,
        str(folder),
        progress=lambda _: display,
        stop=lambda: len(made) == calls,
      )
    except Interrupted:
      assert calls
  return display.warnings


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A run that never stops."""
  folder = tmp_path_factory.mktemp('whole')
  train(stopped_runs.config(**FULL), folder)
  return folder


def assert_same(folder, whole, config):
  assert stopped_runs.metrics(folder) == stopped_runs.metrics(whole)
  ours = stopped_runs.final_tensors(folder, config)
  theirs = stopped_runs.final_tensors(whole, config)
  assert ours.keys() == theirs.keys()
  for name in ours:
    np.testing.assert_array_equal(ours[name], theirs[name])
  assert measurements(folder) == measurements(whole)


def measurements(folder):
  """The files of what was measured, with their bytes."""
  root = pathlib.Path(folder) / 'probes'
  return {p.relative_to(root): p.read_bytes() for p in root.rglob('*.npz')}


def steps_of(folder):
  found = (folder / records.CHECKPOINTS).iterdir()
  return sorted(int(p.name) for p in found if p.name.isdigit())


def wait_for(condition, process):
  deadline = time.monotonic() + 60
  while not condition() and process.is_alive():
    assert time.monotonic() < deadline, 'nothing happened in a minute'
    time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize('names', [None, ('outputs', 'covariate_shift')])
def test_twenty_kills_at_random_moments_change_nothing(names, tmp_path):
  config = stopped_runs.config(**{'probes.names': names})
  if names:
    config.probes.every = 5
  whole, cut, cache = (tmp_path / name for name in ('whole', 'cut', 'cache'))
  process = stopped_runs.start(whole, config, cache)
  process.join()
  assert process.exitcode == 0
  moments = random.Random(0)
  killed_at = set()
  for _ in range(20):
    process = stopped_runs.start(cut, config, cache)
    before = records.Record(cut).last_step()
    # Some at the start, the others when it has come further than before.
    if moments.random() < 0.7:
      wait_for(
        lambda step=before: records.Record(cut).last_step() > step, process
      )
    time.sleep(moments.uniform(0, 0.2))
    process.kill()
    process.join()
    killed_at.add(records.Record(cut).last_step())
  assert len(killed_at) > 5
  process = stopped_runs.start(cut, config, cache)
  process.join()
  assert process.exitcode == 0
  assert_same(cut, whole, config)
  assert bool(measurements(cut)) == bool(names)
  assert records.Record(cut).status['status'] == 'done'


@pytest.mark.parametrize('calls', [1, 6, 17, 40])
def test_a_run_stopped_after_any_step_goes_on_as_if_it_had_not(
  calls, whole, tmp_path
):
  config = stopped_runs.config(**FULL)
  train(config, tmp_path, calls=calls)
  status = records.Record(tmp_path).status
  assert status['status'] == 'interrupted' and status['step'] == calls
  assert calls in steps_of(tmp_path)
  train(config, tmp_path)
  assert_same(tmp_path, whole, config)


def test_many_stops_in_calls_of_several_steps(tmp_path):
  config = stopped_runs.config(**FULL, steps_per_call=5)
  train(config, tmp_path / 'whole')
  for calls in (1, 3, 2):
    train(config, tmp_path / 'cut', calls=calls)
  train(config, tmp_path / 'cut')
  assert_same(tmp_path / 'cut', tmp_path / 'whole', config)


def test_tensorboard_has_each_row_once_after_a_resumption(whole, tmp_path):
  config = stopped_runs.config(**FULL)
  train(config, tmp_path, calls=23)
  train(config, tmp_path)
  assert len(list(tmp_path.glob('events.*'))) == 1
  everything = {'histograms': 0}
  events = event_accumulator.EventAccumulator(str(tmp_path), everything)
  events.Reload()
  rows = records.Record(whole).metrics()
  for split in ('train', 'validation', 'test'):
    expected = [row['step'] for row in rows if row['split'] == split]
    assert [e.step for e in events.Scalars(f'{split}/loss')] == expected
  assert len(events.Scalars('train/images_per_second')) == 10
  histograms = events.Histograms('outputs/layer1')
  assert [event.step for event in histograms] == [0, 8, 16, 24, 32, 40]
  assert [r['step'] for r in records.Record(tmp_path).timing()] == [
    *range(4, 41, 4)
  ]


def test_the_newest_checkpoints_and_the_best_are_kept(whole):
  rows = records.Record(whole).metrics()
  accuracy = {
    row['step']: row['accuracy'] for row in rows if row['split'] == 'validation'
  }
  best = max(accuracy, key=lambda step: (accuracy[step], -step))
  assert steps_of(whole) == sorted({36, 40, best})


def test_a_checkpoint_holds_the_config(whole):
  text = next(
    (whole / records.CHECKPOINTS / '40' / 'config').glob('*')
  ).read_text()
  assert json.loads(text) == records.Record(whole).config


def damage_by_truncation(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_by_another_byte(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 0xFF
  path.write_bytes(data)


@pytest.mark.parametrize(
  'damage', [damage_by_truncation, damage_by_another_byte, os.remove]
)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
  damage, whole, tmp_path
):
  config = stopped_runs.config(**FULL)
  train(config, tmp_path, calls=20)
  newest = tmp_path / records.CHECKPOINTS / '20'
  data = max(newest.glob('state/d/*'), key=lambda path: path.stat().st_size)
  damage(data)
  (warning,) = train(config, tmp_path)
  assert repr(str(newest)) in warning and 'goes on from step 18' in warning
  assert (tmp_path / 'damaged_checkpoints' / '20').is_dir()
  assert_same(tmp_path, whole, config)


def test_rows_that_were_lost_are_written_again(whole, tmp_path):
  config = stopped_runs.config(**FULL)
  train(config, tmp_path, calls=20)
  metrics = tmp_path / records.METRICS
  metrics.write_bytes(b''.join(metrics.read_bytes().splitlines(True)[:4]))
  warnings = train(config, tmp_path)
  assert '4 of the 7 rows' in warnings[0]
  assert_same(tmp_path, whole, config)


@pytest.mark.parametrize('kind', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_run_and_exits_with_a_status_of_its_own(
  kind, tmp_path
):
  config = stopped_runs.config(total_steps=100_000, checkpoint_every=50_000)
  folder = tmp_path / 'run'
  process = stopped_runs.start(folder, config, tmp_path / 'cache')
  wait_for(lambda: records.Record(folder).last_step() > 20, process)
  told = time.monotonic()
  os.kill(process.pid, kind)
  process.join()
  assert time.monotonic() - told < 10
  assert process.exitcode == STATUS
  status = records.Record(folder).status
  assert status['status'] == 'interrupted'
  assert steps_of(folder)[-1] >= status['step'] > 20


def test_a_second_signal_exits_at_once(tmp_path):
  folder = tmp_path / 'run'
  config = stopped_runs.config(total_steps=100_000, checkpoint_every=50_000)
  process = stopped_runs.start(folder, config, tmp_path / 'cache')
  wait_for(lambda: (folder / records.STATUS).exists(), process)
  # It compiles now, and does not look at the first one.
  for _ in range(2):
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.05)
  process.join(5)
  assert process.exitcode in (130, STATUS)
  assert records.Record(folder).status['status'] == 'interrupted'


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path):
  folder = tmp_path / 'run'
  config = stopped_runs.config(total_steps=100_000)
  process = stopped_runs.start(folder, config, tmp_path / 'cache')
  wait_for(lambda: (folder / records.STATUS).exists(), process)
  with pytest.raises(records.RecordError, match='in use by another process'):
    train(config, folder)
  process.kill()
  process.join()
  train(config, folder, calls=1)


def test_a_full_disk_ends_the_run_and_leaves_the_last_checkpoint(
  whole, tmp_path, monkeypatch
):
  config = stopped_runs.config(**FULL)
  write = writers.JsonLinesWriter.write

  def full(writer, step, split, values):
    if step > 20:
      raise OSError(28, 'No space left on device')
    write(writer, step, split, values)

  with monkeypatch.context() as patch:
    patch.setattr(writers.JsonLinesWriter, 'write', full)
    with pytest.raises(records.RecordError) as error:
      train(config, tmp_path)
  assert 'No space left on device' in str(error.value)
  assert '\n' not in str(error.value)
  status = records.Record(tmp_path).status
  assert status['status'] == 'failed' and 'No space' in status['error']
  assert 18 in steps_of(tmp_path)
  train(config, tmp_path)
  assert_same(tmp_path, whole, config)


@pytest.mark.parametrize('split', ['train', 'validation'])
def test_a_folder_that_is_renamed_ends_the_run_in_one_line(
  split, whole, tmp_path, monkeypatch, capfd
):
  config = stopped_runs.config(**FULL)
  folder, moved = tmp_path / 'run', tmp_path / 'moved'
  write = writers.JsonLinesWriter.write

  def rename(writer, step, of, values):
    if step >= 18 and of == split and folder.exists():
      folder.rename(moved)
    write(writer, step, of, values)

  with monkeypatch.context() as patch:
    patch.setattr(writers.JsonLinesWriter, 'write', rename)
    with pytest.raises(records.RecordError, match='deleted or renamed'):
      train(config, folder)
  assert not (folder / records.STATUS).exists()
  assert 'Traceback' not in capfd.readouterr().err
  train(config, moved)
  assert_same(moved, whole, config)


def test_a_checkpoint_that_cannot_be_written_ends_the_run(
  whole, tmp_path, monkeypatch
):
  from orbax.checkpoint import CheckpointManager

  config = stopped_runs.config(**FULL)
  save = CheckpointManager.save

  def full(manager, step, **kwargs):
    if step > 20:
      raise ValueError('RESOURCE_EXHAUSTED: write: No space left on device')
    return save(manager, step, **kwargs)

  with monkeypatch.context() as patch:
    patch.setattr(CheckpointManager, 'save', full)
    with pytest.raises(
      records.RecordError, match='checkpoint .* No space left'
    ):
      train(config, tmp_path)
  assert 18 in steps_of(tmp_path)
  train(config, tmp_path)
  assert_same(tmp_path, whole, config)


def test_a_divergence_keeps_the_last_finite_state(tmp_path):
  config = stopped_runs.config(total_steps=40, debug_nans=True)
  config.norm.name = 'none'
  config.optimizer.learning_rate = 1e30
  train(config, tmp_path)
  status = records.Record(tmp_path).status
  assert status['status'] == 'diverged'
  assert status['last_finite_step'] < status['step']
  assert steps_of(tmp_path)[-1] == status['last_finite_step']
  tensors = stopped_runs.final_tensors(tmp_path, config)
  assert tensors['step'] == status['last_finite_step']
  assert all(np.isfinite(x).all() for x in tensors.values())
  kind, _, tensor = status['first_nonfinite'].partition(' ')
  assert kind in ('activation', 'loss', 'gradient', 'parameter', 'state')


def test_a_damaged_status_does_not_stop_a_run(whole, tmp_path):
  config = stopped_runs.config(**FULL)
  train(config, tmp_path, calls=20)
  (tmp_path / records.STATUS).write_bytes(b'{"sta')
  train(config, tmp_path)
  assert_same(tmp_path, whole, config)


@pytest.mark.parametrize('name', [records.METRICS, records.LOCK])
def test_a_folder_in_the_place_of_a_file_is_refused_in_one_line(name, tmp_path):
  (tmp_path / 'run').mkdir()
  config = stopped_runs.config(**FULL)
  train(config, tmp_path / 'run', calls=1)
  (tmp_path / 'run' / name).unlink()
  (tmp_path / 'run' / name).mkdir()
  with pytest.raises(records.RecordError, match='[Ii]s a directory'):
    train(config, tmp_path / 'run')


@pytest.mark.parametrize('batches, step', [(1, 9), (5, 18)])
def test_a_stop_in_an_evaluation_saves_the_state_before_it(
  batches, step, tmp_path, monkeypatch
):
  config = stopped_runs.config(**FULL)
  config.eval_batch_size = 100
  train(config, tmp_path / 'whole')
  given = itertools.count()

  def until_stopped(feed, items):
    for item in items:
      if next(given) == batches:
        raise evaluation.Stopped
      yield item

  with monkeypatch.context() as patch:
    patch.setattr(evaluation.Stoppable, '_until_stopped', until_stopped)
    with pytest.raises(Interrupted):
      loop.train(config, str(tmp_path / 'cut'), progress=lambda _: Watched())
  status = records.Record(tmp_path / 'cut').status
  assert status['status'] == 'interrupted' and status['step'] == step
  train(config, tmp_path / 'cut')
  assert_same(tmp_path / 'cut', tmp_path / 'whole', config)
