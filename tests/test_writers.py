import json
import math

import pytest
from tensorboard.backend.event_processing import event_accumulator

from normlab import writers


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


def test_values_keep_all_their_digits(path):
  writer = writers.JsonLinesWriter(path)
  writer.write(1, 'train', {'loss': 1 / 3})
  assert read_lines(path)[0]['loss'] == 1 / 3
  writer.close()


def test_lines_are_visible_before_the_file_is_closed(path):
  writer = writers.JsonLinesWriter(path)
  for step in range(3):
    writer.write(step, 'train', {'loss': 0.0})
    assert len(read_lines(path)) == step + 1
  writer.close()


def test_file_is_started_anew(path):
  path.write_text('{"step": 99}\n')
  writers.JsonLinesWriter(path).close()
  assert path.read_text() == ''


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


class Recorder:
  def __init__(self, name, log):
    self.name, self.log = name, log

  def write(self, step, split, values):
    self.log.append((self.name, step, split, values))

  def close(self):
    self.log.append((self.name, 'close'))


def test_multi_writer_passes_everything_on_in_order():
  log = []
  writer = writers.MultiWriter(Recorder(name, log) for name in 'ab')
  writer.write(3, 'test', {'loss': 1.0})
  writer.close()
  assert log == [
    ('a', 3, 'test', {'loss': 1.0}),
    ('b', 3, 'test', {'loss': 1.0}),
    ('a', 'close'),
    ('b', 'close'),
  ]
