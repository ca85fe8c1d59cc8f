"""Examples of a run: each as often, and where, as it should be."""

import functools

import jax
import numpy as np
import pytest

from configs import base
from normlab import data
from normlab.data import memory_feed
from normlab.data.memory_feed import MemoryFeed
from normlab.data.stream_feed import StreamFeed
from normlab.runtime import devices

TRAIN, VALIDATION, BATCH = 22, 11, 8
KEY = jax.random.key(5)


def split(count, offset):
  """Images that say which example they are."""
  labels = np.arange(count, dtype=np.int32)
  images = np.tile((offset + labels)[:, None, None, None], (1, 2, 2, 1))
  return data.Examples(images.astype(np.uint8), labels)


SPLITS = {'train': split(TRAIN, 0), 'validation': split(VALIDATION, 100)}


@functools.cache
def feed(num_devices):
  return MemoryFeed(SPLITS, KEY, BATCH, devices.mesh(num_devices))


@jax.jit
def batch_of(inputs, i):
  return inputs.batch(i)


def assert_examples(batch, rows, name='train'):
  np.testing.assert_array_equal(batch.labels, SPLITS[name].labels[rows])
  np.testing.assert_array_equal(batch.images, SPLITS[name].images[rows])


def assert_shared_by(array, num_devices):
  parts = array.addressable_shards
  assert len({part.device for part in parts}) == num_devices
  assert {len(part.data) for part in parts} == {len(array) // num_devices}


@pytest.mark.parametrize('num_devices', [1, 8])
def test_batches_are_the_rows_of_the_order(num_devices):
  source, first, count = feed(num_devices), 1, 4
  inputs = source.inputs(first, count)
  orders = memory_feed.Shuffled(KEY, TRAIN, BATCH)
  for i in range(count):
    step = first + i
    rows = memory_feed.indices_of_step(
      orders.orders(step, 1), step, step, BATCH
    )
    batch = batch_of(inputs, i)
    assert_examples(batch, np.asarray(rows))


def test_training_batch_is_shared_by_the_devices():
  batch = batch_of(feed(8).inputs(0, 1), 0)
  for array in batch:
    assert_shared_by(array, 8)


def test_pixels_are_those_of_the_training_examples():
  expected = data.pixel_statistics(SPLITS['train'].images)
  np.testing.assert_array_equal(feed(1).standardizer.mean, expected.mean)
  np.testing.assert_array_equal(feed(1).standardizer.std, expected.std)
  assert feed(1).image_shape == (2, 2, 1)


@pytest.mark.parametrize('num_devices', [1, 8])
@pytest.mark.parametrize('batch_size', [3, 100])
def test_evaluation_covers_each_example_once(num_devices, batch_size):
  seen = []
  for batch, valid in feed(num_devices).eval_batches('validation', batch_size):
    labels, valid = np.asarray(batch.labels), np.asarray(valid)
    # The filling are real examples too.
    assert_examples(batch, labels, 'validation')
    seen += labels[valid].tolist()
  assert seen == list(range(VALIDATION))


def test_batch_larger_than_the_split_is_no_larger_than_it_must_be():
  for num_devices, size in ((1, VALIDATION), (8, 16)):
    ((_, valid),) = feed(num_devices).eval_batches('validation', 100)
    assert len(valid) == size


def test_evaluation_is_shared_by_the_devices():
  batch, valid = next(feed(8).eval_batches('validation', 8))
  for array in (*batch, valid):
    assert_shared_by(array, 8)


@pytest.mark.parametrize(
  'num_devices, count, batch_size, sizes',
  [
    (1, 7, 3, [3, 3, 1]),
    (1, 100, 100, [TRAIN]),
    (8, 8, 8, [8]),
    # As many as eight devices can share.
    (8, 20, 8, [8, 8]),
    (8, 20, 12, [16]),
    (8, 100, 100, [16]),
  ],
)
def test_training_batches_are_the_first_examples(
  num_devices, count, batch_size, sizes
):
  batches = list(feed(num_devices).training_batches(count, batch_size))
  assert [len(batch.labels) for batch in batches] == sizes
  for batch in batches:
    assert_examples(batch, np.asarray(batch.labels))
    assert_shared_by(batch.labels, num_devices)
  labels = np.concatenate([batch.labels for batch in batches])
  assert labels.tolist() == list(range(sum(sizes)))


def test_examples_in_memory_have_nothing_to_restore():
  source = feed(1)
  before = batch_of(source.inputs(5, 1), 0)
  assert source.state() == {}
  source.restore({})
  source.close()
  after = batch_of(source.inputs(5, 1), 0)
  assert_examples(before, np.asarray(after.labels))


class Stream:
  """Counts its batches, as `data.TrainStream` does."""

  def __init__(self, *, batch_size, **fields):
    self.batch_size, self.fields, self.given = batch_size, fields, 0
    self.is_closed = False

  def __next__(self):
    labels = np.full(self.batch_size, self.given, np.int32)
    self.given += 1
    return data.Examples(np.zeros((self.batch_size, 2, 2, 3), np.uint8), labels)

  def get_state(self):
    return {'given': self.given}

  def set_state(self, state):
    self.given = state['given']

  def close(self):
    self.is_closed = True


@pytest.fixture
def streamed(monkeypatch):
  monkeypatch.setattr(data, 'TrainStream', Stream, raising=False)
  config = base.get_config()
  config.data.name = 'imagenette'
  config.data.min_crop_area = 0.5
  config.batch_size, config.seed = BATCH, 3
  return StreamFeed(config, devices.mesh(8))


def labels_of(inputs):
  return inputs.batches.labels[:, 0].tolist()


def test_stream_gives_the_next_batches_whatever_the_step(streamed):
  assert labels_of(streamed.inputs(0, 2)) == [0, 1]
  assert labels_of(streamed.inputs(17, 3)) == [2, 3, 4]


def test_streamed_batch_is_that_of_its_place_in_the_call(streamed):
  inputs = streamed.inputs(4, 3)
  for i in range(3):
    batch = batch_of(inputs, i)
    assert batch.labels.tolist() == [i] * BATCH
    assert_shared_by(batch.labels, 8)


def test_stream_continues_where_it_was(streamed):
  streamed.inputs(0, 2)
  state = streamed.state()
  expected = labels_of(streamed.inputs(2, 2))
  streamed.restore(state)
  assert labels_of(streamed.inputs(2, 2)) == expected


def test_stream_has_the_fields_of_the_config(streamed):
  fields = streamed._train.fields
  assert fields['name'] == 'imagenette' and fields['seed'] == 3
  assert fields['min_crop_area'] == 0.5
  assert fields['process_index'] == 0 and fields['process_count'] == 1


@pytest.mark.parametrize('count, size', [(24, 8), (30, 8), (8, 100)])
def test_streamed_training_batches_are_whole(
  streamed, count, size, monkeypatch
):
  asked = []

  def eval_batches(*, split, batch_size, limit, **fields):
    asked.append((split, batch_size, limit))
    for start in range(0, limit, batch_size):
      labels = np.arange(start, start + batch_size, dtype=np.int32)
      images = np.zeros((batch_size, 2, 2, 3), np.uint8)
      yield data.Examples(images, labels), labels < limit

  monkeypatch.setattr(data, 'eval_batches', eval_batches, raising=False)
  batches = list(streamed.training_batches(count, size))
  size = min(count, size)
  assert asked == [('train', size, count // size * size)]
  labels = np.concatenate([batch.labels for batch in batches])
  assert labels.tolist() == list(range(count // size * size))
