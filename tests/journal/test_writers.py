import errno
import json
import math
import os

import pytest
from tensorboard.backend.event_processing import event_accumulator

from normlab.journal import writers


@pytest.fixture
def path(tmp_path):
  return tmp_path / 'metrics.jsonl'


def refuse(constant):
  raise ValueError(f'{constant} is not JSON')


def read_lines(path):
  # Python reads NaN and Infinity, which no other reader of JSON does.
  return [
    json.loads(line, parse_constant=refuse)
    for line in path.read_text().splitlines()
  ]


def test_json_lines_are_objects_with_step_split_and_values(path):
  writer = writers.JsonLinesWriter(path)
  writer.write(1, 'train', {'loss': 0.5, 'accuracy': 0.25})
  writer.write(2, 'validation', {'loss': 0.1})
  writer.close()
  assert read_lines(path) == [
    {'step': 1, 'split': 'train', 'loss': 0.5, 'accuracy': 0.25},
    {'step': 2, 'split': 'validation', 'loss': 0.1},
  ]
  assert path.read_text().endswith('\n')


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_null(path, value):
  writer = writers.JsonLinesWriter(path)
  writer.write(1, 'train', {'loss': value, 'accuracy': 0.5})
  writer.close()
  (row,) = read_lines(path)
  assert row['loss'] is None and row['accuracy'] == 0.5


def test_lines_are_visible_before_the_file_is_closed(path):
  writer = writers.JsonLinesWriter(path)
  for step in range(3):
    writer.write(step, 'train', {'loss': 0.0})
    assert len(read_lines(path)) == step + 1
  writer.close()


def test_values_of_each_class_are_lists_with_null_for_none(path):
  writer = writers.JsonLinesWriter(path)
  values = {'class_accuracy': [0.5, None, math.nan], 'ece': None}
  writer.write(1, 'validation', values)
  writer.close()
  (row,) = read_lines(path)
  assert row['class_accuracy'] == [0.5, None, None]
  assert row['ece'] is None


class Reluctant:
  """A file that takes three bytes at a time."""

  def __init__(self, file):
    self._file = file
    self.calls = 0

  def write(self, line):
    self.calls += 1
    return self._file.write(line[:3])

  def close(self):
    self._file.close()


def test_line_is_written_whole_when_the_system_takes_a_part(path):
  writer = writers.JsonLinesWriter(path)
  writer._file = Reluctant(writer._file)
  writer.write(1, 'train', {'loss': 0.5})
  assert writer._file.calls > 3
  writer.close()
  assert read_lines(path) == [{'step': 1, 'split': 'train', 'loss': 0.5}]


class Full:
  """A file on a disk that is full."""

  def __init__(self, file):
    self._file = file

  def write(self, line):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  def close(self):
    self._file.close()


def test_line_that_found_no_room_is_not_written_later(path):
  writer = writers.JsonLinesWriter(path)
  writer._file = Full(writer._file)
  with pytest.raises(OSError, match='No space left'):
    writer.write(1, 'train', {'loss': 0.5})
  writer.close()
  assert path.read_bytes() == b''


def test_sync_waits_for_the_disk(path, monkeypatch):
  synced = []
  monkeypatch.setattr(os, 'fsync', synced.append)
  writer = writers.JsonLinesWriter(path)
  writer.sync()
  assert synced == [writer._file.fileno()]
  writer.close()


def test_tensorboard_reads_the_scalars(tmp_path):
  writer = writers.TensorBoardWriter(tmp_path)
  for step, loss in ((10, 0.5), (20, 0.25)):
    writer.write(step, 'train', {'loss': loss, 'accuracy': 1 - loss})
  writer.write(20, 'validation', {'loss': math.nan})
  writer.close()
  events = event_accumulator.EventAccumulator(str(tmp_path))
  events.Reload()
  tags = {'train/loss', 'train/accuracy', 'validation/loss'}
  assert set(events.Tags()['scalars']) == tags
  losses = [(e.step, e.value) for e in events.Scalars('train/loss')]
  assert losses == [(10, 0.5), (20, 0.25)]
  accuracies = [e.value for e in events.Scalars('train/accuracy')]
  assert accuracies == [0.5, 0.75]
  (event,) = events.Scalars('validation/loss')
  assert event.step == 20 and math.isnan(event.value)


def test_tensorboard_has_no_values_of_each_class_and_no_absent_ones(tmp_path):
  writer = writers.TensorBoardWriter(tmp_path)
  values = {'loss': 0.5, 'class_accuracy': [0.5, None], 'ece': None}
  writer.write(1, 'validation', values)
  writer.close()
  events = event_accumulator.EventAccumulator(str(tmp_path))
  events.Reload()
  assert events.Tags()['scalars'] == ['validation/loss']


def test_tensorboard_reads_a_histogram(tmp_path):
  writer = writers.TensorBoardWriter(tmp_path)
  edges = [-1.0, 0.0, 0.5, 2.0]
  writer.write_histogram(7, 'outputs/layer1', [0, 3, 0, 1, 2], edges)
  writer.write_histogram(7, 'outputs/layer2', [0, 0, 0, 0, 0], edges)
  writer.close()
  events = event_accumulator.EventAccumulator(str(tmp_path))
  events.Reload()
  assert events.Tags()['histograms'] == ['outputs/layer1']
  (event,) = events.Histograms('outputs/layer1')
  assert event.step == 7
  found = event.histogram_value
  # The last bin has no end, and is as wide as the one before.
  assert (found.min, found.max, found.num) == (-1, 3.5, 6)
  assert list(found.bucket_limit) == [0, 0.5, 2, 3.5]
  assert list(found.bucket) == [3, 0, 1, 2]


def test_a_histogram_has_the_moments_of_its_middles():
  histogram = writers.histogram_of([2, 0, 1], [0.0, 1.0])
  assert (histogram.min, histogram.max, histogram.num) == (-1, 2, 3)
  assert histogram.sum == 2 * -0.5 + 1.5
  assert histogram.sum_squares == 2 * 0.25 + 2.25


def test_event_files_are_told_from_those_of_others(tmp_path):
  writers.TensorBoardWriter(tmp_path).close()
  (file,) = tmp_path.iterdir()
  assert file.name.startswith('events.out.tfevents.')
  assert file.name.endswith(writers.EVENTS_SUFFIX)
