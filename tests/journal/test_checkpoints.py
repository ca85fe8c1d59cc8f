"""Checkpoints are read as they were saved, or not at all."""

import errno
import os
import shutil
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from normlab import errors, records
from normlab.journal import checkpoint_files, checkpoints
from normlab.journal.checkpoints import Checkpoints, DamagedError, Position
from normlab.program import training_step
from normlab.runtime import devices

# As bits: two kinds of NaN, both zeros, the smallest number, infinity.
BITS = np.array(
  [0x7FC00001, 0xFFC00000, 0, 0x80000000, 1, 0x7F800000], np.uint32
)


def position(step):
  return Position(
    step,
    rows=0,
    window=({'loss': 0.1, 'accuracy': 1 / 3}, {'loss': 2.5, 'accuracy': 0.0}),
    seconds=12.5,
    stream={'next_index': 7, 'workers': {'0': [1, 2]}},
  )


DEEP = '[' * 100_000


def tensors():
  generator = np.random.default_rng(0)
  return {
    'layer1': {
      'kernel': generator.normal(size=(3, 4)).astype(np.float32),
      'bias': BITS.view(np.float32).copy(),
    },
    'layer10': {'kernel': (np.arange(6) / 7).astype(jnp.bfloat16)},
    'scale': np.float32(0.1),
  }


def make_state(step=3, *, num_devices=1, **fields):
  values = {
    'step': np.int32(step),
    'params': tensors(),
    'model_state': {'batch_stats': {'mean': np.ones(5, np.float32)}},
    'opt_state': ({}, (tensors(), np.int32(9))),
  }
  state = training_step.TrainState(**values | fields)
  return devices.replicate(state, devices.mesh(num_devices))


STATES = {
  'all': {'ema': tensors()},
  'without_average': {},
  'without_model_state': {'model_state': {}},
  'without_optimizer_state': {'opt_state': ()},
}


def bits(tree):
  return [
    (path, x.dtype, x.shape, np.asarray(x).tobytes())
    for path, x in training_step.named_leaves(tree)
  ]


@pytest.fixture
def record(tmp_path):
  record = records.Record(tmp_path / 'run')
  record.create()
  record.write_config(base.get_config())
  return record


def save(record, *saved, keep=9, state=None):
  """Saves checkpoints of (step, accuracy) and waits for them."""
  writer = Checkpoints(record, keep=keep)
  for step, accuracy in saved:
    writer.save(state or make_state(step), position(step), accuracy=accuracy)
  writer.wait()
  return writer


@pytest.mark.parametrize('kind', STATES)
def test_state_is_read_bit_for_bit(record, kind):
  state = make_state(**STATES[kind])
  writer = save(record, (3, None), state=state)
  found, where = writer.read(3, jax.tree.map(jnp.zeros_like, state))
  writer.close()
  assert jax.tree.structure(found) == jax.tree.structure(state)
  assert bits(found) == bits(state)
  assert where == position(3)


@pytest.mark.parametrize('saved, wanted', [(1, 8), (8, 2)])
def test_state_is_read_onto_the_devices_that_are_wanted(record, saved, wanted):
  writer = save(record, (3, None), state=make_state(num_devices=saved))
  like = make_state(num_devices=wanted)
  found, _ = writer.read(3, like)
  writer.close()
  assert bits(found) == bits(like)
  for ours, theirs in zip(
    jax.tree.leaves(found), jax.tree.leaves(like), strict=True
  ):
    assert ours.sharding == theirs.sharding


def test_state_may_be_overwritten_while_it_is_saved(record):
  state, writer = make_state(), Checkpoints(record, keep=1)
  expected = bits(state)
  overwrite = jax.jit(
    lambda state: jax.tree.map(lambda x: x * 0, state), donate_argnums=0
  )
  writer.save(state, position(3))
  overwrite(state)
  assert state.step.is_deleted()
  writer.wait()
  assert bits(writer.read(3, make_state())[0]) == expected
  writer.close()


def test_newest_and_best_are_kept(record):
  saved = [(1, None), (2, 0.9), (3, 0.6), (4, None), (5, 0.7)]
  writer = save(record, *saved, keep=2)
  assert writer.available() == [2, 4, 5]
  assert writer.best() == 2
  writer.close()
  again = Checkpoints(record, keep=2)
  assert again.available() == [2, 4, 5] and again.best() == 2
  again.close()


def test_nothing_is_made_by_asking_for_checkpoints(record):
  before = set(record.path.iterdir())
  reader = Checkpoints(record, keep=1)
  assert reader.available() == [] and reader.best() is None
  assert reader.newest_whole(make_state(), pytest.fail) is None
  with pytest.raises(
    records.RecordError, match="run' has no checkpoint; there"
  ):
    checkpoints.restore(record, make_state())
  reader.close()
  assert set(record.path.iterdir()) == before


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  """A run with checkpoints of steps 1 and 2, not to be changed."""
  record = records.Record(tmp_path_factory.mktemp('saved') / 'run')
  record.create()
  record.write_config(base.get_config())
  save(record, (1, 0.9), (2, 0.5)).close()
  return record


@pytest.fixture
def copied(saved, tmp_path):
  """A run with checkpoints of steps 1 and 2."""
  shutil.copytree(saved.path, tmp_path / 'copy')
  return records.Record(tmp_path / 'copy')


@pytest.mark.parametrize(
  'chosen, step', [({}, 2), ({'best': True}, 1), ({'step': 1}, 1)]
)
def test_checkpoint_is_chosen(saved, chosen, step):
  state, where = checkpoints.restore(saved, make_state(), **chosen)
  assert where.step == step
  assert bits(state) == bits(make_state(step))


def test_step_without_a_checkpoint_is_an_error_that_lists_the_others(saved):
  with pytest.raises(records.RecordError) as error:
    checkpoints.restore(saved, make_state(), step=7)
  text = str(error.value)
  assert (
    text == f'{str(saved.path)!r} has no checkpoint of step 7; there are: 1, 2'
  )


def test_reading_changes_nothing(copied):
  # What a run that still trains is writing at this moment.
  partial = copied.path / 'checkpoints' / '3.orbax-checkpoint-tmp'
  partial.mkdir()
  (partial / 'half').write_text('of it')
  before = contents(copied.path)
  checkpoints.restore(copied, make_state(), best=True)
  assert contents(copied.path) == before


def contents(folder):
  return {
    path.relative_to(folder): path.is_file() and path.read_bytes()
    for path in folder.rglob('*')
  }


def flip(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 0x55
  path.write_bytes(content)


def halve(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
  path.write_bytes(b'')


def files_of_newest(record):
  folder = record.path / 'checkpoints' / '2'
  return sorted(
    p for p in folder.rglob('*') if p.is_file() and p.stat().st_size
  )


# Threads of Orbax that read on after an error.
@pytest.mark.filterwarnings(
  'ignore::pytest.PytestUnraisableExceptionWarning',
  'ignore::pytest.PytestUnhandledThreadExceptionWarning',
)
@pytest.mark.parametrize('damage', [flip, halve, empty])
def test_damage_to_any_file_is_found_or_harmless(copied, damage):
  like, expected = make_state(), bits(make_state(2))
  found_out = 0
  for path in files_of_newest(copied):
    content = path.read_bytes()
    damage(path)
    try:
      state, where = checkpoints.restore(copied, like, step=2)
      assert bits(state) == expected, path
      assert where == position(2), path
    except records.RecordError as error:
      found_out += 1
      assert '\n' not in str(error)
      # Some damage hides the checkpoint.
      assert 'is damaged: ' in str(error) or 'there are: 1' in str(error), path
    path.write_bytes(content)
  assert found_out >= 3


def test_tensor_that_differs_from_its_checksum_is_named(record, monkeypatch):
  ours = checkpoint_files.checksums
  with monkeypatch.context() as patch:
    patch.setattr(
      checkpoint_files,
      'checksums',
      lambda x: ours(x) | {'params/layer1/kernel': 1},
    )
    writer = save(record, (2, None))
  with pytest.raises(DamagedError) as error:
    writer.read(2, make_state())
  writer.close()
  text = 'params/layer1/kernel differs from its checksum'
  assert error.value.reason == f'damaged: {text}'


def break_newest(record):
  for path in files_of_newest(record):
    if 'position' in path.parts:
      empty(path)


def test_damaged_newest_is_moved_aside_with_a_warning(copied):
  break_newest(copied)
  damaged = contents(copied.path / 'checkpoints' / '2')
  warnings, reader = [], Checkpoints(copied, keep=9)
  state, where = reader.newest_whole(make_state(), warnings.append)
  assert where.step == 1 and bits(state) == bits(make_state(1))
  assert reader.available() == [1]
  aside = copied.path / checkpoints.DAMAGED / '2'
  assert contents(aside) == damaged
  (warning,) = warnings
  assert str(copied.path / 'checkpoints' / '2') in warning
  assert str(aside) in warning and '\n' not in warning
  # The run goes on, and comes to the same step again.
  reader.save(make_state(2), position(2))
  reader.wait()
  assert reader.available() == [1, 2]
  reader.close()


def test_damage_to_an_older_checkpoint_does_not_send_the_run_back(copied):
  shutil.rmtree(copied.path / 'checkpoints' / '1' / 'metrics')
  warnings, reader = [], Checkpoints(copied, keep=9)
  assert reader.newest_whole(make_state(), warnings.append)[1].step == 2
  reader.close()
  (warning,) = warnings
  assert "checkpoints/1' cannot" in warning
  assert warning.endswith('the run goes on from step 2')


def test_a_process_that_dies_while_deleting_leaves_no_damaged_checkpoint(
  copied, monkeypatch
):
  with monkeypatch.context() as patch:
    patch.setattr(shutil, 'rmtree', lambda *args, **kwargs: None)
    save(copied, (3, 0.1), keep=1).close()
  (rest,) = (copied.path / 'checkpoints' / '.deleted').iterdir()
  assert rest.name == '2'
  shutil.rmtree(rest / 'metrics')
  reader = Checkpoints(copied, keep=1)
  assert reader.newest_whole(make_state(), pytest.fail)[1].step == 3
  reader.save(make_state(2), position(2))
  reader.save(make_state(4), position(4))
  reader.wait()
  reader.close()
  folders = {path.name for path in copied.path.rglob('*') if path.is_dir()}
  assert {'1', '4'} <= folders and not {'2', '3', '.deleted'} & folders
  assert checkpoints.DAMAGED not in folders


def test_a_checkpoint_under_the_number_of_another_is_not_believed(copied):
  folder = copied.path / 'checkpoints'
  shutil.copytree(folder / '1', folder / '300')
  reader = Checkpoints(copied, keep=9)
  with pytest.raises(DamagedError) as error:
    reader.read(300, make_state())
  assert error.value.reason == 'damaged: it is the checkpoint of step 1'
  assert reader.newest_whole(make_state(), lambda _: None)[1].step == 2
  reader.close()


@pytest.mark.parametrize(
  'name', ['007', 'x', '\u00b2', '-1', '3.orbax-checkpoint-tmp']
)
def test_only_numbers_are_checkpoints(copied, name):
  (copied.path / 'checkpoints' / name).mkdir()
  reader = Checkpoints(copied, keep=9)
  assert reader.newest_whole(make_state(), pytest.fail)[1].step == 2
  reader.save(make_state(3), position(3))
  reader.wait()
  assert reader.available() == [1, 2, 3]
  reader.close()


@pytest.mark.parametrize(
  'text', ['', '{}', '[]', '{"accuracy": null}', '{"accuracy": "0.5"}', DEEP]
)
def test_metrics_that_cannot_be_used_are_damage(copied, text):
  path = copied.path / 'checkpoints' / '2' / 'metrics' / 'metrics'
  path.write_text(text)
  reader = Checkpoints(copied, keep=9)
  assert reader.best() == 1
  assert reader.newest_whole(make_state(), lambda _: None)[1].step == 1
  reader.close()


def test_rows_that_cannot_be_read_leave_the_checkpoints_where_they_are(copied):
  (copied.path / records.METRICS).mkdir()
  before = contents(copied.path)
  reader = Checkpoints(copied, keep=9)
  with pytest.raises(records.RecordError, match='cannot be read'):
    reader.newest_whole(make_state(), pytest.fail)
  reader.close()
  assert contents(copied.path) == before


def test_a_folder_that_cannot_be_made_leaves_no_thread_that_waits(
  copied, monkeypatch
):
  """Threads that wait at the end keep the process from ending."""
  before, made = set(threading.enumerate()), os.mkdir
  was = contents(copied.path)

  def full(path, *args, **kwargs):
    if 'orbax-checkpoint-tmp/' in os.fspath(path):
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    made(path, *args, **kwargs)

  writer = Checkpoints(copied, keep=9)
  monkeypatch.setattr(os, 'mkdir', full)
  with pytest.raises(records.RecordError, match='No space left'):
    writer.save(make_state(3), position(3))
    writer.wait()
  writer.close()
  for thread in set(threading.enumerate()) - before:
    thread.join(timeout=5)
    assert thread.daemon or not thread.is_alive()
  assert was.items() <= contents(copied.path).items()


def test_what_was_moved_aside_before_is_kept(copied):
  (copied.path / checkpoints.DAMAGED / '2').mkdir(parents=True)
  break_newest(copied)
  reader = Checkpoints(copied, keep=9)
  reader.newest_whole(make_state(), lambda _: None)
  reader.close()
  aside = {path.name for path in (copied.path / checkpoints.DAMAGED).iterdir()}
  assert aside == {'2', '2_'}


def test_run_whose_checkpoints_are_all_damaged_starts_over(copied):
  for part in ('1', '2'):
    shutil.rmtree(copied.path / 'checkpoints' / part / 'state')
  warnings, reader = [], Checkpoints(copied, keep=9)
  assert reader.newest_whole(make_state(), warnings.append) is None
  assert reader.available() == []
  reader.close()
  assert len(warnings) == 2


@pytest.mark.parametrize('rows, step', [(4, 2), (3, 1), (0, None)])
def test_checkpoint_of_rows_that_are_lost_is_passed_over(record, rows, step):
  writer = Checkpoints(record, keep=9)
  for where in (Position(1, rows=2), Position(2, rows=4)):
    writer.save(make_state(where.step), where)
  writer.wait()
  (record.path / records.METRICS).write_text(
    '{"step": 1, "split": "train"}\n' * rows
  )
  warnings = []
  found = writer.newest_whole(make_state(), warnings.append)
  writer.close()
  assert (found and found[1].step) == step
  if step != 2:
    assert (
      f'metrics.jsonl has {rows} of the 4 rows that were written before it'
      in warnings[0]
    )


@pytest.mark.parametrize(
  'error, text',
  [
    (OSError(13, 'Permission denied'), 'Permission denied'),
    (ValueError('RESOURCE: No space left on x; and more'), 'No space left on'),
    (ValueError('first line\nsecond line'), 'first line'),
    (ValueError(), 'ValueError'),
    (ValueError('x' * 999), 'x' * 200),
  ],
)
def test_reason_is_in_the_words_of_the_system(error, text):
  assert checkpoint_files.write_problem(error).startswith(text)
  assert len(checkpoint_files.write_problem(error)) <= 2 * errors.LONGEST_LINE


def test_closing_twice_and_without_opening_is_no_error(record):
  reader = Checkpoints(record, keep=1)
  reader.wait()
  reader.close()
  reader.close()
