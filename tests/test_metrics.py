import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normlab import metrics


def test_loss_of_equal_logits_is_log_of_classes():
  values = metrics.per_example(jnp.zeros((3, 10)), jnp.array([0, 4, 9]))
  np.testing.assert_allclose(values['loss'], np.log(10), rtol=1e-6)


def test_loss_is_minus_the_log_of_the_softmax():
  logits = np.array([[1.0, 2.0, 0.5], [-1.0, 0.0, 3.0]], np.float32)
  labels = np.array([1, 0], np.int32)
  softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  expected = -np.log(softmax[[0, 1], labels])
  values = metrics.per_example(jnp.asarray(logits), jnp.asarray(labels))
  np.testing.assert_allclose(values['loss'], expected, rtol=1e-6)


def test_accuracy_is_whether_the_largest_logit_is_the_label():
  logits = jnp.array([[0.0, 2.0], [3.0, 1.0], [0.0, 1.0]])
  values = metrics.per_example(logits, jnp.array([1, 1, 0]))
  assert values['accuracy'].tolist() == [1, 0, 0]
  assert values['accuracy'].dtype == jnp.float32


@pytest.mark.parametrize('bad', [jnp.nan, jnp.inf])
def test_broken_logits_are_never_right(bad):
  # The argmax of NaN, or of infinities alone, is 0: the label.
  logits = jnp.full((1, 3), bad)
  values = metrics.per_example(logits, jnp.array([0]))
  assert values['accuracy'].tolist() == [0]
  assert not np.isfinite(values['loss']).any()


def test_loss_is_float32_and_finite_for_large_bfloat16_logits():
  logits = jnp.array([[1000.0, -1000.0], [0.0, 0.25]], jnp.bfloat16)
  values = metrics.per_example(logits, jnp.array([1, 0]))
  assert values['loss'].dtype == jnp.float32
  expected = [2000, np.log(1 + np.exp(0.25))]
  np.testing.assert_allclose(values['loss'], expected, rtol=1e-6)


def test_mean_is_that_of_the_examples():
  means = metrics.mean({'loss': jnp.array([1.0, 2.0, 6.0])})
  assert set(means) == {'loss'}
  assert means['loss'].shape == ()
  assert float(means['loss']) == 3


def test_totals_ignore_invalid_rows_even_if_not_finite():
  values = {'loss': jnp.array([1.0, jnp.nan, 2.0])}
  sums = metrics.totals(values, jnp.array([True, False, True]))
  assert {k: float(v) for k, v in sums.items()} == {'loss': 3, 'count': 2}


def test_totals_keep_a_nan_that_is_valid():
  values = {'loss': jnp.array([1.0, jnp.nan])}
  sums = metrics.totals(values, jnp.array([True, True]))
  assert np.isnan(sums['loss'])


def test_divided_totals_are_floats_without_the_count():
  sums = {'loss': jnp.array(3.0), 'count': jnp.array(4)}
  means = metrics.divide_totals(sums)
  assert means == {'loss': 0.75}
  assert isinstance(means['loss'], float)


@given(
  st.lists(st.integers(-100, 100), min_size=1, max_size=12), st.integers(1, 5)
)
@settings(max_examples=20, deadline=None)
def test_every_example_counts_once_however_batches_are_cut(numbers, size):
  sums = None
  for start in range(0, len(numbers), size):
    part = np.zeros(size, np.float32)
    chunk = numbers[start : start + size]
    part[: len(chunk)] = chunk
    valid = np.arange(size) < len(chunk)
    batch = metrics.totals({'loss': jnp.asarray(part)}, jnp.asarray(valid))
    sums = batch if sums is None else jax.tree.map(jnp.add, sums, batch)
  mean = metrics.divide_totals(sums)['loss']
  assert mean == pytest.approx(np.mean(numbers), abs=1e-5)
