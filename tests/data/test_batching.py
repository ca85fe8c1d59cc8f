import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normlab import data
from normlab.data import batching

EXAMPLES, BATCH = 11, 3


def shuffled(seed=0):
  return data.ShuffledRows(jax.random.key(seed), EXAMPLES, BATCH)


def epoch(rows, number):
  first = number * rows.steps_per_epoch
  steps = range(first, first + rows.steps_per_epoch)
  return np.concatenate([rows(step) for step in steps])


@pytest.fixture(scope='module')
def splits():
  generator = np.random.default_rng(0)

  def split(examples, low, high):
    images = generator.integers(low, high, (examples, 4, 5, 3), np.uint8)
    labels = np.arange(examples, dtype=np.int32) % 10
    return data.Split(images, labels)

  return {'train': split(30, 20, 200), 'validation': split(7, 100, 256)}


def test_epoch_is_without_replacement():
  rows = shuffled()
  for number in range(4):
    seen = epoch(rows, number)
    assert len(seen) == EXAMPLES // BATCH * BATCH
    assert len(set(seen.tolist())) == len(seen)
    assert set(seen.tolist()) <= set(range(EXAMPLES))


def test_epoch_without_a_remainder_has_every_example():
  rows = data.ShuffledRows(jax.random.key(0), 8, 4)
  assert sorted(epoch(rows, 0).tolist()) == list(range(8))


def test_examples_left_out_differ_between_epochs():
  rows = shuffled()
  left_out = {
    frozenset(set(range(EXAMPLES)) - set(epoch(rows, number).tolist()))
    for number in range(4)
  }
  assert len(left_out) > 1


def test_steps_per_epoch_is_whole_batches():
  assert shuffled().steps_per_epoch == 3


def test_rows_are_int32_batches():
  rows = shuffled()(0)
  assert rows.shape == (BATCH,)
  assert rows.dtype == jnp.int32


def test_order_of_access_does_not_matter():
  forward, backward = shuffled(), shuffled()
  steps = list(range(4 * forward.steps_per_epoch))
  ahead = {step: forward(step).tolist() for step in steps}
  back = {step: backward(step).tolist() for step in reversed(steps)}
  assert ahead == back


def test_orders_differ_between_epochs():
  rows = shuffled()
  orders = {tuple(epoch(rows, number).tolist()) for number in range(4)}
  assert len(orders) == 4


def test_orders_differ_between_keys():
  assert epoch(shuffled(0), 0).tolist() != epoch(shuffled(1), 0).tolist()
  assert epoch(shuffled(0), 0).tolist() == epoch(shuffled(0), 0).tolist()


def test_epoch_order_is_a_permutation():
  order = batching.epoch_order(jax.random.key(3), 2, EXAMPLES)
  assert sorted(order.tolist()) == list(range(EXAMPLES))
  assert order.tolist() != list(range(EXAMPLES))


@given(st.integers(1, 200), st.integers(1, 64))
@settings(max_examples=20, deadline=None)
def test_ordered_rows_cover_each_example_once(num_examples, batch_size):
  covered = []
  for rows, valid in data.ordered_rows(num_examples, batch_size):
    assert rows.shape == valid.shape == (batch_size,)
    assert rows.dtype == np.int32 and valid.dtype == bool
    assert (rows[~valid] == 0).all()
    assert valid.any()
    covered += rows[valid].tolist()
  assert covered == list(range(num_examples))


def test_only_the_last_batch_is_filled_up():
  valid = [valid.tolist() for _, valid in data.ordered_rows(5, 2)]
  assert valid == [[True, True], [True, True], [True, False]]


def test_training_pixels_get_mean_zero_and_deviation_one(splits):
  train = data.to_device(splits)['train']
  standardized = train.standardize(train.images)
  assert standardized.dtype == jnp.float32
  np.testing.assert_allclose(standardized.mean((0, 1, 2)), 0, atol=1e-5)
  np.testing.assert_allclose(standardized.std((0, 1, 2)), 1, atol=1e-5)


def test_other_splits_use_the_statistics_of_training(splits):
  on_device = data.to_device(splits)
  pixels = splits['train'].images.astype(np.float64)
  mean, std = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))
  expected = (splits['validation'].images - mean) / std
  actual = on_device['validation'].standardize(on_device['validation'].images)
  np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
  assert abs(np.mean(actual)) > 0.5


def test_device_splits_keep_images_and_labels(splits):
  for name, split in data.to_device(splits).items():
    assert split.images.dtype == jnp.uint8
    assert split.labels.dtype == jnp.int32
    np.testing.assert_array_equal(split.images, splits[name].images)
    np.testing.assert_array_equal(split.labels, splits[name].labels)


def test_constant_channel_becomes_zero(splits):
  images = splits['train'].images.copy()
  images[..., 1] = 77
  constant = {'train': data.Split(images, splits['train'].labels)}
  train = data.to_device(constant)['train']
  standardized = np.asarray(train.standardize(train.images))
  assert np.isfinite(standardized).all()
  np.testing.assert_allclose(standardized[..., 1], 0, atol=1e-6)
  np.testing.assert_allclose(standardized[..., 0].std(), 1, atol=1e-5)
