import errno
import json
import os
import pathlib

import ml_collections
import pytest

from configs import base
from normlab import records
from normlab.records import Record, RecordError


@pytest.fixture
def config():
  return base.get_config()


@pytest.fixture
def record(tmp_path, config):
  """A run that has begun."""
  record = Record(tmp_path / 'run')
  record.create()
  record.write_config(config)
  return record


def test_absent_run_has_no_config_no_metrics_and_no_result(tmp_path):
  record = Record(tmp_path / 'nowhere')
  assert record.config is None
  assert record.status == {'status': 'absent'}
  assert record.metrics() == []
  assert record.last_step() == 0
  assert not record.is_finished
  assert list(tmp_path.iterdir()) == []


def test_config_is_read_as_written(record, config):
  assert record.config == records.resolved(config)
  assert record.config['optimizer']['learning_rate'] == 0.03


def test_resolved_config_has_lists_and_no_references():
  config = ml_collections.ConfigDict({'steps': 3, 'widths': (1, 2)})
  config.twice = config.get_ref('steps') * 2
  expected = {'steps': 3, 'twice': 6, 'widths': [1, 2]}
  assert records.resolved(config) == expected


@pytest.mark.parametrize(
  'status, finished',
  [
    ('done', True),
    ('diverged', True),
    ('running', False),
    ('failed', False),
    ('interrupted', False),
  ],
)
def test_only_runs_with_a_result_are_finished(record, status, finished):
  record.write_status(status, step=1, rows=0)
  assert record.is_finished == finished


def test_process_that_dies_while_writing_leaves_the_old_status(
  record, monkeypatch
):
  record.write_status('running')

  def die(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(pathlib.Path, 'replace', die)
  with pytest.raises(KeyboardInterrupt):
    record.write_status('done')
  assert record.status == {'status': 'running'}


@pytest.fixture
def full_disk(monkeypatch):
  """No new file can be written; those that are there can be overwritten."""
  write_text = pathlib.Path.write_text

  def fail(path, *args, **kwargs):
    if not path.exists():
      path.touch()
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return write_text(path, *args, **kwargs)

  monkeypatch.setattr(pathlib.Path, 'write_text', fail)


def test_full_disk_has_room_for_another_status(record, request):
  record.write_status('running', note='longer than what replaces it')
  request.getfixturevalue('full_disk')
  record.write_status('failed', step=3)
  assert record.status == {'status': 'failed', 'step': 3}
  names = {path.name for path in record.path.iterdir()}
  assert names == {records.LOCK, records.CONFIG, records.STATUS}


def test_other_errors_of_writing_are_raised(record, monkeypatch):
  def fail(*args, **kwargs):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))

  record.write_status('running')
  monkeypatch.setattr(pathlib.Path, 'write_text', fail)
  with pytest.raises(OSError, match='Read-only'):
    record.write_status('done')
  assert record.status == {'status': 'running'}


def test_what_a_killed_process_left_is_gone_with_the_next_write(record):
  for name in (records.CONFIG, records.STATUS):
    hidden = record.path / f'.{name}.tmp'
    hidden.mkdir()
    (hidden / name).write_text('{"sta')
  record.write_config(base.get_config())
  record.write_status('running')
  files = {path.name for path in record.path.iterdir()}
  assert files == {records.LOCK, records.CONFIG, records.STATUS}


@pytest.mark.parametrize(
  'name', [records.CONFIG, records.METRICS, records.TIMING, records.STATUS]
)
def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path, name):
  record = Record(tmp_path)
  record.check_kinds()
  (tmp_path / name).mkdir()
  with pytest.raises(RecordError, match=f"{name}' is a directory"):
    record.check_kinds()


def test_a_file_in_the_place_of_the_checkpoints_is_refused(tmp_path):
  (tmp_path / records.CHECKPOINTS).touch()
  with pytest.raises(RecordError, match="checkpoints' is a file"):
    Record(tmp_path).check_kinds()


def test_rows_that_cannot_be_read_are_not_taken_for_lost(tmp_path):
  (tmp_path / records.METRICS).mkdir()
  with pytest.raises(RecordError, match='cannot be read'):
    Record(tmp_path).whole_rows()


def test_metrics_are_read_in_the_order_written(record):
  rows = [
    {'step': 1, 'split': 'train', 'loss': 2.5},
    {'step': 2, 'split': 'train', 'loss': None, 'each': [0.5, None]},
  ]
  write_rows(record, records.METRICS, rows)
  assert record.metrics() == rows
  assert record.last_step() == 2


ROWS = [
  {'step': step, 'split': 'train', 'loss': 0.5 / step} for step in (1, 2, 3, 4)
]
ROW = json.dumps(ROWS[0])
TORN = '{"step": 5, "lo'


def write_rows(record, name, rows, end=''):
  text = ''.join(json.dumps(row) + '\n' for row in rows)
  (record.path / name).write_text(text + end)


def test_rows_in_front_of_a_damaged_one_count(record):
  (record.path / records.METRICS).write_text(f'{ROW}\n{{"st\n{ROW}\n')
  assert record.whole_rows() == 1


@pytest.mark.parametrize('rows', range(5))
@pytest.mark.parametrize('end', ['', TORN])
def test_cut_takes_off_what_came_after_a_checkpoint(record, rows, end):
  for name in (records.METRICS, records.TIMING):
    write_rows(record, name, ROWS, end)
  record.cut(rows, 2)
  assert record.metrics() == ROWS[:rows]
  assert record.timing() == ROWS[:2]
  # A line that is written next starts a line of its own.
  for name in (records.METRICS, records.TIMING):
    text = (record.path / name).read_text()
    assert not text or text.endswith('\n')


def test_cut_of_a_record_without_rows_does_nothing(record):
  before = set(record.path.iterdir())
  record.cut(0, 0)
  assert set(record.path.iterdir()) == before


def test_damaged_timing_does_not_keep_a_run_from_continuing(record):
  write_rows(record, records.METRICS, ROWS)
  (record.path / records.TIMING).write_text(f'{{"st\n{ROW}\n')
  record.cut(3, 2)
  assert record.metrics() == ROWS[:3]
  assert record.timing() == []


@pytest.mark.parametrize('status', records.FINISHED)
@pytest.mark.parametrize(
  'damage',
  [
    os.remove,
    lambda path: path.write_bytes(b''),
    lambda path: os.truncate(path, 60),
    lambda path: os.truncate(path, path.stat().st_size - 1),
    lambda path: path.write_bytes(bytes(path.stat().st_size)),
  ],
  ids=['deleted', 'emptied', 'cut', 'torn', 'zeroed'],
)
def test_a_finished_run_that_lost_rows_is_refused(record, status, damage):
  write_rows(record, records.METRICS, ROWS)
  record.write_status(status, step=4, rows=4)
  record.check_whole()
  damage(record.path / records.METRICS)
  with pytest.raises(RecordError, match=r'the run at 4 \(row 4\); delete'):
    record.check_whole()


@pytest.mark.parametrize('line', ['3', '[]', '"row"', 'null', '{"step": 1'])
def test_line_that_is_no_row_is_named(record, line):
  (record.path / records.METRICS).write_text(f'{ROW}\n{line}\n{ROW}\n')
  with pytest.raises(RecordError, match="metrics.jsonl' is damaged: line 2 is"):
    record.metrics()


@pytest.mark.parametrize(
  'damage, problem',
  [
    ({'step': None}, 'has the step None'),
    ({'step': '5'}, "has the step '5'"),
    ({'step': -1}, 'has the step -1'),
    ({'step': True}, 'has the step True'),
    ({'split': 3}, 'has the split 3'),
    ({'loss': 'x'}, "has the loss 'x'"),
    ({'loss': {}}, 'has the loss {}'),
    ({'each': [0.5, 'x']}, "has the each [0.5, 'x']"),
    ({'accuracy': None}, 'has the accuracy None'),
    ({'split': 'validation'}, 'has no accuracy'),
  ],
)
def test_a_row_with_another_value_than_its_readers_expect_is_named(
  record, damage, problem
):
  write_rows(record, records.METRICS, [*ROWS, ROWS[0] | damage, *ROWS])
  with pytest.raises(RecordError) as error:
    record.metrics()
  path = str(record.path / records.METRICS)
  assert str(error.value) == f'{path!r} is damaged: line 5 {problem}'
  assert record.whole_rows() == 4


DEEP = '[' * 100_000


def test_json_that_is_nested_too_deeply_is_damage(record):
  for name in (records.CONFIG, records.STATUS, records.METRICS):
    (record.path / name).write_text(f'{DEEP}\n')
  for read in (
    lambda: record.config,
    lambda: record.status,
    record.metrics,
  ):
    with pytest.raises(RecordError, match='is damaged: .*not JSON') as error:
      read()
    assert len(str(error.value)) < 200 + len(str(record.path))
  assert not record.is_finished and record.last_step() == 0


@pytest.mark.parametrize(
  'status, problem',
  [
    ({}, 'the status is None'),
    ({'status': 3}, 'the status is 3'),
    ({'status': ['done']}, "the status is ['done']"),
    ({'status': 'done'}, 'step is None'),
    ({'status': 'done', 'step': '5', 'rows': 1}, "step is '5'"),
    ({'status': 'diverged', 'step': 5}, 'rows is None'),
    ({'status': 'running', 'step': -1}, 'step is -1'),
    ({'status': 'failed', 'error': 3}, 'error is 3'),
  ],
)
def test_a_status_without_what_its_readers_expect_is_damaged(
  record, status, problem
):
  path = record.path / records.STATUS
  path.write_text(json.dumps(status))
  with pytest.raises(RecordError) as error:
    record.status  # noqa: B018
  assert str(error.value).startswith(f'{str(path)!r} is damaged: {problem}')
  assert not record.is_finished


def test_last_step_is_that_of_a_row_of_any_length(record):
  long = {**ROWS[3], 'each': [1 / 3] * 1000}
  write_rows(record, records.METRICS, [*ROWS[:3], long], TORN)
  assert record.last_step() == 4


@pytest.mark.parametrize(
  'lines',
  [
    '{"step": 2, "loss": 1\n"accuracy": 0}, {"step": 3}',
    '{"step": 2}, {"step": 3}',
    '{"step": 2, "loss": [1\n2]}',
  ],
)
def test_lines_that_are_rows_only_together_are_damaged(record, lines):
  (record.path / records.METRICS).write_text(f'{ROW}\n{lines}\n{ROW}\n')
  with pytest.raises(RecordError, match="metrics.jsonl' is damaged: line 2 is"):
    record.metrics()


@pytest.mark.parametrize('length', range(1, 48))
def test_torn_last_line_is_ignored(record, length):
  write_rows(record, records.METRICS, ROWS[:1], json.dumps(ROWS[1])[:length])
  assert record.metrics() == ROWS[:1]


def test_run_name_is_the_label_and_a_hash(config):
  config.label = 'a run/of 3'
  label, digest = records.run_name(config).rsplit('-', 1)
  assert label == 'a-run-of-3'
  assert len(digest) == 10 and int(digest, 16) > 0


def digest(config):
  return records.run_name(config).rsplit('-', 1)[1]


OTHERS = {
  'label': 'other',
  'code_dir': '/elsewhere',
  'data.data_dir': '/elsewhere',
  'data.workers': 3,
  'checkpoint_every': 7,
  'keep_checkpoints': 7,
  'debug_nans': True,
  'profile': True,
}


@pytest.mark.parametrize('field', records.WITHOUT_EFFECT)
def test_fields_without_effect_change_neither_hash_nor_run(
  record, config, field
):
  before = digest(config)
  config.update_from_flattened_dict({field: OTHERS[field]})
  assert digest(config) == before
  record.check_usable(config)
  assert records.flatten(records.resolved(config))[field] == OTHERS[field]
  assert field not in records.comparable(records.resolved(config))


@pytest.mark.parametrize(
  'field',
  sorted(set(records.flatten(base.get_config())) - {*records.WITHOUT_EFFECT}),
)
def test_hash_depends_on_every_other_field(config, field):
  before = digest(config)
  *sections, name = field.split('.')
  section = config[sections[0]] if sections else config
  kind = section.get_type(name)
  if kind is bool:
    section[name] = not section[name]
  elif kind is tuple:
    section[name] = (7,)
  else:
    section[name] = kind(7)
  assert digest(config) != before


def test_order_of_the_fields_does_not_matter_to_the_hash(config):
  turned = ml_collections.ConfigDict(
    dict(reversed(list(records.resolved(config).items())))
  )
  assert records.run_name(turned) == records.run_name(config)


def test_flatten_joins_paths_with_dots(config):
  flat = records.flatten(config)
  assert flat['seed'] == 0
  assert flat['optimizer.learning_rate'] == 0.03
  assert records.flatten({'a': {'b': {'c': 1}}}) == {'a.b.c': 1}


def test_folder_of_the_same_config_is_usable(record, config):
  config.label = 'other'
  record.check_usable(config)


def test_empty_and_absent_folders_are_usable(tmp_path, config):
  Record(tmp_path).check_usable(config)
  Record(tmp_path / 'a' / 'b').check_usable(config)
  assert list(tmp_path.iterdir()) == []


def refusal(record, config):
  with pytest.raises(RecordError) as error:
    record.check_usable(config)
  text = str(error.value)
  assert '\n' not in text
  return text


def test_other_config_is_refused_with_field_and_both_values(record, config):
  config.optimizer.learning_rate = 0.5
  text = refusal(record, config)
  assert str(record.path) in text
  assert '(optimizer.learning_rate is 0.03 there, 0.5 here)' in text
  assert 'choose another --workdir' in text


@pytest.mark.parametrize('below', ['', 'run', 'runs/run'])
def test_file_instead_of_a_folder_is_refused(tmp_path, config, below):
  file = tmp_path / 'file'
  file.write_text('')
  text = refusal(Record(file / below), config)
  assert f'{str(file)!r} is a file' in text


@pytest.mark.parametrize('name', [records.METRICS, records.STATUS])
def test_files_without_a_config_are_refused(tmp_path, config, name):
  (tmp_path / name).write_text('{}\n')
  assert f'holds {name} but no config.json' in refusal(Record(tmp_path), config)


@pytest.mark.parametrize(
  'content', [b'{"seed": 0', b'', b'\xff\xfe', b'{}', b'[1]', b'{"data": 3}']
)
def test_damaged_config_is_refused(record, config, content):
  path = record.path / records.CONFIG
  path.write_bytes(content)
  assert f'{str(path)!r} is damaged' in refusal(record, config)


def test_folder_without_permission_is_refused(tmp_path, config, monkeypatch):
  # Root may write everywhere, so the answer of the system is replaced.
  monkeypatch.setattr(os, 'access', lambda path, mode: False)
  text = refusal(Record(tmp_path / 'run'), config)
  assert f'no permission in {str(tmp_path)!r}' in text


def test_lock_refuses_a_second_holder(tmp_path):
  first, second = Record(tmp_path / 'run'), Record(tmp_path / 'run')
  with first.locked():
    with pytest.raises(RecordError, match='in use by another process'):
      with second.locked():
        raise AssertionError('both hold the lock')


def test_lock_is_given_back_after_an_error(tmp_path):
  record = Record(tmp_path / 'run')
  with pytest.raises(KeyboardInterrupt):
    with record.locked():
      raise KeyboardInterrupt
  with record.locked():
    assert record.path.is_dir()
