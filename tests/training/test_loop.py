"""Whole training runs, tiny and in this process."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from normlab import errors, norms, records, validation
from normlab.program import periods
from normlab.runtime import progress_bar
from normlab.training import compiled_calls, loop, preparation


class Recorder(progress_bar.Progress):
  """Remembers what it is told."""

  def __init__(self):
    self.steps, self.splits, self.closed = [], [], False

  def step(self, step, values):
    self.steps.append(step)

  def evaluated(self, step, split, values):
    self.splits.append((step, split))

  def close(self):
    self.closed = True


def tiny_config(**overrides):
  config = base.get_config()
  config.model.name = 'mlp'
  config.model.widths = (16,)
  config.norm.momentum = 0.9
  config.total_steps = 12
  config.eval_every = 5
  config.log_every = 4
  config.num_devices = 1
  config.update_from_flattened_dict(overrides)
  return config


def train(config, path, display=None):
  display = display or progress_bar.Progress()
  return loop.train(config, str(path), progress=lambda _: display)


def test_the_record_of_a_run_is_complete(tmp_path):
  display = Recorder()
  record = train(tiny_config(), tmp_path, display)
  rows = record.metrics()
  assert record.status['status'] == 'done' and record.status['step'] == 12
  assert [r['step'] for r in rows if r['split'] == 'train'] == [4, 8, 12]
  assert [r['step'] for r in rows if r['split'] == 'validation'] == [5, 10, 12]
  assert [r['step'] for r in rows if r['split'] == 'test'] == [12]
  assert record.config == records.resolved(tiny_config())
  assert list(tmp_path.glob('events.out.tfevents.*'))
  assert [r['step'] for r in record.timing()] == [4, 8, 12]
  assert all(r['images_per_second'] > 0 for r in record.timing())
  assert {'gradient_norm', 'parameter_norm', 'learning_rate'} <= rows[0].keys()
  assert display.steps == list(range(1, 13)) and display.closed
  assert display.splits == [(5, 'validation'), (10, 'validation')] + [
    (12, 'validation'),
    (12, 'test'),
  ]


@pytest.mark.slow
@pytest.mark.parametrize('norm', norms.NORMS)
def test_every_norm_trains_and_repeats_bit_for_bit(norm, tmp_path):
  # One evaluation: nearly all time goes to checkpoints.
  config = tiny_config(eval_every=12, **{'norm.name': norm})
  config.norm.momentum = None
  if norm in ('group', 'evonorm_s0'):
    config.norm.num_groups = 4
  first = train(config, tmp_path / 'a').metrics()
  second = train(config, tmp_path / 'b').metrics()
  assert first == second
  assert all(math.isfinite(row['loss']) for row in first)


def test_a_run_that_does_not_fit_into_memory_fails_in_one_line(
  tmp_path, monkeypatch
):
  def too_large(*_):
    return jnp.zeros(2**55, np.uint8)

  monkeypatch.setattr(preparation, 'initial_state', too_large)
  with pytest.raises(
    errors.ConfigError, match='out of memory: .* GiB'
  ) as error:
    train(tiny_config(), tmp_path)
  status = records.Record(tmp_path).status
  assert status['status'] == 'failed' and str(error.value) in status['error']


def test_another_seed_gives_other_numbers(tmp_path):
  one = train(tiny_config(), tmp_path / 'a').metrics()
  two = train(tiny_config(seed=1), tmp_path / 'b').metrics()
  assert one[0]['loss'] != two[0]['loss']


def test_a_divergence_is_a_result_with_its_step(tmp_path):
  config = tiny_config(**{'optimizer.learning_rate': 1e30, 'norm.name': 'none'})
  config.norm.momentum = None
  record = train(config, tmp_path)
  assert record.status['status'] == 'diverged'
  assert 1 < record.status['step'] <= 4
  text = (tmp_path / records.METRICS).read_text()
  assert 'NaN' not in text and 'Infinity' not in text
  assert record.is_finished


def test_a_finished_run_is_not_trained_again(tmp_path):
  train(tiny_config(), tmp_path)
  before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
  display = Recorder()
  train(tiny_config(), tmp_path, display)
  assert not display.steps
  assert before == {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}


def test_a_failure_is_recorded_and_raised(tmp_path):
  class Break(progress_bar.Progress):
    def step(self, step, values):
      raise OSError('disk full')

  with pytest.raises(OSError, match='disk full'):
    train(tiny_config(), tmp_path, Break())
  status = records.Record(tmp_path).status
  assert status['status'] == 'failed' and 'disk full' in status['error']


def test_a_run_of_another_config_is_left_alone(tmp_path):
  train(tiny_config(), tmp_path)
  before = (tmp_path / records.METRICS).read_bytes()
  with pytest.raises(records.RecordError, match='total_steps'):
    train(tiny_config(total_steps=13), tmp_path)
  assert (tmp_path / records.METRICS).read_bytes() == before
  assert (
    json.loads((tmp_path / records.CONFIG).read_text())['total_steps'] == 12
  )


def test_what_was_in_the_folder_before_stays(tmp_path):
  mine = tmp_path / 'events.out.tfevents.1.mine'
  mine.write_text('precious')
  train(tiny_config(), tmp_path)
  assert mine.read_text() == 'precious'


def test_nothing_is_written_for_a_bad_config(tmp_path):
  with pytest.raises(errors.ConfigError):
    train(tiny_config(batch_size=0), tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('per_call', [1, 3, 5, 100])
def test_calls_cover_each_step_once_and_cross_no_stop(per_call):
  config = tiny_config(steps_per_call=per_call, checkpoint_every=7)
  calls = list(periods.calls(config))
  steps = [first + i for first, count in calls for i in range(count)]
  assert steps == list(range(12))
  assert all(count <= per_call for _, count in calls)
  ends = {first + count for first, count in calls}
  assert {4, 5, 7, 8, 10, 12} <= ends
  for i, (first, _) in enumerate(calls):
    assert list(periods.calls(config, first)) == calls[i:]


def test_runs_that_differ_in_numbers_share_what_is_compiled(tmp_path):
  train(tiny_config(), tmp_path / 'a')
  compiled = compiled_calls.train_steps._cache_size()
  changed = {
    'seed': 5,
    'optimizer.learning_rate_multiplier': 5.0,
    'optimizer.weight_decay': 0.1,
    'schedule.name': 'cosine',
  }
  train(tiny_config(**changed), tmp_path / 'b')
  assert compiled_calls.train_steps._cache_size() == compiled


def test_the_state_is_donated(tmp_path):
  config = tiny_config()
  ready = preparation.prepare(validation.check(config))
  state = preparation.initial_state(ready)
  compiled_calls.run_steps(ready, state, 0, 1)
  leaves = jax.tree.leaves(state.params)
  assert all(leaf.is_deleted() for leaf in leaves)
