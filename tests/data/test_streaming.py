import itertools
import json
import pathlib

import jax
import jpeg_dataset
import numpy as np
import pytest

from normlab import data, errors
from normlab.data.sets import synthetic
from normlab.data.streaming import decoding, examples

BATCH = 8
TRAIN, VALIDATION, TEST = 38, 2, 16
EPOCH = TRAIN // BATCH


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Every example has a label of its own, so that it can be told."""
  folder = tmp_path_factory.mktemp('streamed')
  jpeg_dataset.write(folder, num_classes=64)
  return str(folder)


@pytest.fixture
def stream(folder):
  """Makes streams, which are closed after the test."""
  made = []

  def make(**options):
    options = {'batch_size': BATCH, 'image_size': 16, 'workers': 0} | options
    made.append(data.TrainStream('imagenette', folder, **options))
    return made[-1]

  yield make
  for each in made:
    each.close()


def take(stream, count):
  return list(itertools.islice(stream, count))


def labels(batches):
  return [batch.labels.tolist() for batch in batches]


def assert_equal(actual, expected):
  assert len(actual) == len(expected)
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


def evaluate(folder, split, **options):
  options = {'batch_size': BATCH, 'image_size': 16} | options
  return list(data.eval_batches('imagenette', folder, split, **options))


def counted(batches):
  """Labels of the examples that are no filling, in order."""
  return np.concatenate([batch.labels[valid] for batch, valid in batches])


def test_an_epoch_is_without_replacement_and_leaves_out_the_remainder(stream):
  batches = take(stream(), 3 * EPOCH)
  epochs = [
    np.concatenate(labels(batches[i * EPOCH : (i + 1) * EPOCH]))
    for i in range(3)
  ]
  for epoch in epochs:
    assert len(set(epoch.tolist())) == EPOCH * BATCH
  assert len({tuple(epoch) for epoch in epochs}) == 3
  assert len({frozenset(epoch.tolist()) for epoch in epochs}) > 1


def test_orders_differ_between_seeds_in_all_epochs(stream):
  first = labels(take(stream(seed=0), 2 * EPOCH))
  assert first == labels(take(stream(seed=0), 2 * EPOCH))
  other = labels(take(stream(seed=1), EPOCH))
  assert other != first[:EPOCH]
  # grain shuffles an epoch by the sum of its number and the seed.
  assert other != first[EPOCH:]


def test_an_example_is_augmented_in_another_way_in_each_epoch(stream):
  seen = {}
  for batch in take(stream(), 2 * EPOCH):
    for image, label in zip(batch.images, batch.labels.tolist(), strict=True):
      seen.setdefault(label, []).append(image)
  twice = [pair for pair in seen.values() if len(pair) == 2]
  assert len(twice) > BATCH
  assert not any(np.array_equal(*pair) for pair in twice)


def test_processes_together_see_what_one_sees(stream):
  whole = take(stream(), EPOCH + 2)
  parts = [
    take(stream(process_index=i, process_count=4), EPOCH + 2) for i in range(4)
  ]
  joined = [
    jax.tree.map(lambda *arrays: np.concatenate(arrays), *batches)
    for batches in zip(*parts, strict=True)
  ]
  assert parts[0][0].labels.shape == (BATCH // 4,)
  assert_equal(joined, whole)


def test_goes_on_exactly_where_it_was(stream):
  expected = take(stream(), 2 * EPOCH + 2)
  first, second = stream(), stream()
  for position in range(2 * EPOCH):
    state = json.loads(json.dumps(first.get_state()))
    second.set_state(state)
    assert second.get_state() == state
    assert_equal(take(second, 2), expected[position : position + 2])
    assert_equal(next(first), expected[position])


def test_what_is_computed_ahead_is_not_in_the_state(stream):
  batches = stream()
  before = batches.get_state()
  batches.start()
  assert batches.get_state() == before
  next(batches)
  assert batches.get_state()['next_batch'] == before['next_batch'] + 1


@pytest.mark.parametrize('option', [{'seed': 1}, {'batch_size': 4}])
def test_the_state_of_another_order_is_refused(stream, option):
  with pytest.raises(errors.ConfigError, match=f"'{[*option][0]}'"):
    stream().set_state(stream(**option).get_state())


def test_a_closed_stream_says_so(stream):
  batches = stream()
  next(batches)
  batches.close()
  batches.close()
  with pytest.raises(ValueError, match='the stream is closed'):
    next(batches)


@pytest.mark.parametrize(
  'options, allowed',
  [
    ({'batch_size': TRAIN + 1}, f'must be from 1 to {TRAIN}'),
    ({'batch_size': 0}, 'must be a multiple of 1, at least 1'),
    ({'batch_size': 9, 'process_count': 2}, 'must be a multiple of 2'),
  ],
)
def test_batches_that_cannot_be_are_refused(stream, options, allowed):
  with pytest.raises(errors.ConfigError) as error:
    stream(**options)
  text = str(error.value)
  assert f'batch_size={options["batch_size"]}' in text and allowed in text


def test_mirrors_left_to_right_with_probability_one_half(folder):
  source = examples.ExampleSource('imagenette', folder, 'train')
  plain = decoding.Augment(source, 16, 0.5, False)
  maybe = decoding.Augment(source, 16, 0.5, True)
  mirrored = 0
  for seed in range(40):
    image, label = plain(source[0], np.random.default_rng(seed))
    other, _ = maybe(source[0], np.random.default_rng(seed))
    assert label == source[0].label
    flipped = np.array_equal(other, image[:, ::-1])
    assert flipped or np.array_equal(other, image)
    mirrored += flipped
  assert 8 < mirrored < 32


@pytest.mark.parametrize(
  'split, count',
  [('train', TRAIN), ('validation', VALIDATION), ('test', TEST)],
)
def test_evaluation_covers_each_example_once(folder, split, count):
  batches = evaluate(folder, split)
  assert len(batches) == -(-count // BATCH)
  for batch, valid in batches:
    assert batch.images.shape == (BATCH, 16, 16, 3)
    assert batch.labels.dtype == np.int32
    assert valid.shape == (BATCH,) and valid.dtype == bool
    assert not batch.images[~valid].any() and not batch.labels[~valid].any()
  source = examples.ExampleSource('imagenette', folder, split)
  stored = [source[row].label for row in range(count)]
  assert counted(batches).tolist() == stored
  assert len(set(stored)) == count


def test_splits_never_overlap(folder):
  splits = [
    set(counted(evaluate(folder, split)).tolist())
    for split in ('train', 'validation', 'test')
  ]
  assert [len(split) for split in splits] == [TRAIN, VALIDATION, TEST]
  assert set.union(*splits) == set(range(TRAIN + VALIDATION + TEST))
  assert splits[2] == set(range(TRAIN + VALIDATION, 56))


def test_processes_have_as_many_evaluation_batches_each(folder):
  whole = evaluate(folder, 'train')
  parts = [
    evaluate(folder, 'train', process_index=i, process_count=4)
    for i in range(4)
  ]
  joined = [
    jax.tree.map(lambda *arrays: np.concatenate(arrays), *batches)
    for batches in zip(*parts, strict=True)
  ]
  assert_equal(joined, whole)


@pytest.mark.parametrize('limit', [1, BATCH, 11, 1000])
def test_evaluation_of_the_first_examples(folder, limit):
  limited = evaluate(folder, 'train', limit=limit)
  expected = counted(evaluate(folder, 'train'))[:limit]
  assert counted(limited).tolist() == expected.tolist()


def test_colours_tell_the_classes(tmp_path):
  sizes = {'train': 20, 'validation': 20}
  jpeg_dataset.write(tmp_path, 'imagenet2012', sizes, num_classes=3)
  (batch, _), *_ = data.eval_batches(
    'imagenet2012', str(tmp_path), 'test', batch_size=20, image_size=16
  )
  # Red, green and blue; one image in twenty is grey.
  brightest = batch.images.mean((1, 2)).argmax(-1)
  assert np.mean(brightest == batch.labels) > 0.9


def test_names_and_splits_that_are_not_there_are_said(folder):
  with pytest.raises(errors.ConfigError, match='not streamed from disk'):
    data.TrainStream('digits', folder, batch_size=2)
  with pytest.raises(errors.ConfigError, match='is not prepared in data_dir'):
    data.TrainStream('imagenet2012', folder, batch_size=2)
  with pytest.raises(errors.ConfigError, match="unknown split 'tests'"):
    evaluate(folder, 'tests')


@pytest.fixture(scope='module')
def damaged(tmp_path_factory):
  """Image 5 is none."""

  def encode(row, label):
    whole = synthetic.photo(row, label, 10, width=20, height=20)
    return b'no image' if row == 5 else whole

  folder = str(tmp_path_factory.mktemp('damaged'))
  sizes = {'train': 10, 'validation': 10}
  synthetic.write(folder, sizes=sizes, encode=encode)
  return folder


def test_a_damaged_image_is_named(damaged):
  with pytest.raises(errors.ConfigError) as error:
    take(data.TrainStream('imagenette', damaged, batch_size=9, workers=0), 5)
  text = str(error.value)
  assert "of split 'train' of data set 'imagenette' is damaged" in text
  assert 'cannot identify image file' in text and '\n' not in text
  (row,) = [int(word) for word in text.split() if word.isdigit()]
  with pytest.raises(errors.ConfigError, match=f'example {row} of'):
    evaluate(damaged, 'train')


def test_a_damaged_file_is_said(tmp_path):
  path = jpeg_dataset.write(tmp_path, sizes={'train': 4, 'validation': 4})
  (file,) = pathlib.Path(path).glob('*-train.array_record*')
  file.write_bytes(b'')
  with pytest.raises(errors.ConfigError, match='is damaged: ArrayRecord file'):
    evaluate(tmp_path, 'train')
