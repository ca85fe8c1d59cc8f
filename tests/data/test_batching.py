import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normlab import data
from normlab.data import memory_feed

EXAMPLES, BATCH = 11, 3


def shuffled(seed=0, examples=EXAMPLES, batch=BATCH):
  return memory_feed.Shuffled(jax.random.key(seed), examples, batch)


indices_of_step = jax.jit(
  memory_feed.indices_of_step, static_argnames='batch_size'
)


def rows(source, step, batch=BATCH):
  """The rows of a step, as a call of this step alone has them."""
  return np.asarray(indices_of_step(source.orders(step, 1), step, step, batch))


def epoch(source, number, batch=BATCH):
  first = number * source.steps_per_epoch
  steps = range(first, first + source.steps_per_epoch)
  return np.concatenate([rows(source, step, batch) for step in steps])


@pytest.fixture(scope='module')
def splits():
  generator = np.random.default_rng(0)

  def split(examples, low, high):
    images = generator.integers(low, high, (examples, 4, 5, 3), np.uint8)
    labels = np.arange(examples, dtype=np.int32) % 10
    return data.Examples(images, labels)

  return {'train': split(30, 20, 200), 'validation': split(7, 100, 256)}


def test_epoch_is_without_replacement():
  source = shuffled()
  for number in range(4):
    seen = epoch(source, number)
    assert len(seen) == EXAMPLES // BATCH * BATCH
    assert len(set(seen.tolist())) == len(seen)
    assert set(seen.tolist()) <= set(range(EXAMPLES))


def test_epoch_without_a_remainder_has_every_example():
  source = shuffled(examples=8, batch=4)
  assert sorted(epoch(source, 0, 4).tolist()) == list(range(8))


def test_examples_left_out_differ_between_epochs():
  source = shuffled()
  left_out = {
    frozenset(set(range(EXAMPLES)) - set(epoch(source, number).tolist()))
    for number in range(4)
  }
  assert len(left_out) > 1


def test_order_of_access_does_not_matter():
  forward, backward = shuffled(), shuffled()
  steps = list(range(4 * forward.steps_per_epoch))
  ahead = {step: rows(forward, step).tolist() for step in steps}
  back = {step: rows(backward, step).tolist() for step in reversed(steps)}
  assert ahead == back


def test_orders_differ_between_keys():
  assert epoch(shuffled(0), 0).tolist() != epoch(shuffled(1), 0).tolist()
  assert epoch(shuffled(0), 0).tolist() == epoch(shuffled(0), 0).tolist()


def test_call_over_several_epochs_has_the_rows_of_single_steps():
  first, count, source = 2, 9, shuffled()
  orders = source.orders(first, count)
  assert orders.shape == (4, EXAMPLES)
  for step in range(first, first + count):
    np.testing.assert_array_equal(
      indices_of_step(orders, first, step, BATCH), rows(source, step)
    )


@given(st.integers(0, 40), st.integers(1, 12), st.integers(1, 8), st.integers())
@settings(max_examples=40, deadline=None)
def test_orders_are_those_of_the_epochs_of_a_call(first, count, batch, seed):
  source = shuffled(seed % 100, EXAMPLES, batch)
  per_epoch = EXAMPLES // batch
  orders = np.asarray(source.orders(first, count))
  begin = first // per_epoch
  assert begin + len(orders) > (first + count - 1) // per_epoch
  for i, order in enumerate(orders):
    expected = memory_feed.epoch_order(
      jax.random.key(seed % 100), begin + i, EXAMPLES
    )
    np.testing.assert_array_equal(order, expected)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 12))
@settings(max_examples=20, deadline=None)
def test_calls_of_a_length_have_orders_of_a_shape(first, other, count):
  source = shuffled()
  shapes = {source.orders(start, count).shape for start in (first, other)}
  assert len(shapes) == 1


@given(st.data())
@settings(max_examples=20, deadline=None)
def test_step_has_its_part_of_the_order_of_its_epoch(draw):
  examples = draw.draw(st.integers(1, 30), 'examples')
  batch = draw.draw(st.integers(1, examples), 'batch')
  first = draw.draw(st.integers(0, 99), 'first')
  step = first + draw.draw(st.integers(0, 20), 'step')
  per_epoch = examples // batch
  begin, number = first // per_epoch, step // per_epoch
  orders = np.array(
    [
      np.random.default_rng(epoch).permutation(examples)
      for epoch in range(begin, number + 1)
    ]
  )
  found = memory_feed.indices_of_step(orders, first, step, batch)
  start = (step - number * per_epoch) * batch
  np.testing.assert_array_equal(found, orders[-1, start : start + batch])


@given(st.integers(1, 200), st.integers(1, 64))
@settings(max_examples=20, deadline=None)
def test_ordered_indices_cover_each_example_once(num_examples, batch_size):
  covered = []
  for rows, valid in memory_feed.ordered_indices(num_examples, batch_size):
    assert rows.shape == valid.shape == (batch_size,)
    assert rows.dtype == np.int32 and valid.dtype == bool
    # The filling are real examples: the first ones.
    assert (rows[~valid] == np.arange((~valid).sum()) % num_examples).all()
    assert valid.any()
    covered += rows[valid].tolist()
  assert covered == list(range(num_examples))


def test_pixel_statistics_are_those_of_numpy(splits):
  images = splits['train'].images
  mean, std = data.pixel_statistics(images)
  assert mean.dtype == std.dtype == np.float32
  shares = images.astype(np.float64) / 255
  np.testing.assert_allclose(mean, shares.mean((0, 1, 2)), rtol=1e-6)
  np.testing.assert_allclose(std, shares.std((0, 1, 2)), rtol=1e-6)


def test_constant_channel_becomes_zero(splits):
  images = splits['train'].images.copy()
  images[..., 1] = 77
  standardized = data.pixel_statistics(images).standardize(images)
  assert np.isfinite(standardized).all()
  np.testing.assert_allclose(standardized[..., 1], 0, atol=1e-6)
  np.testing.assert_allclose(standardized[..., 0].std(), 1, atol=1e-5)


def test_batch_takes_images_with_their_labels(splits):
  split = splits['train']
  taken = data.Examples(split.images, split.labels).take(np.array([7, 0, 7]))
  np.testing.assert_array_equal(taken.images, split.images[[7, 0, 7]])
  assert taken.labels.tolist() == [7, 0, 7]
