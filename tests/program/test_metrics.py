import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normlab import errors
from normlab.program import metrics

# One program instead of many: eager operations compile one by one.
per_example = jax.jit(metrics.per_example)
confidence = jax.jit(metrics.confidence)
totals = jax.jit(metrics.totals)


def test_loss_is_minus_the_log_of_the_softmax():
  logits = np.array([[1.0, 2.0, 0.5], [-1.0, 0.0, 3.0]], np.float32)
  labels = np.array([1, 0], np.int32)
  softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  expected = -np.log(softmax[[0, 1], labels])
  values = per_example(jnp.asarray(logits), jnp.asarray(labels))
  np.testing.assert_allclose(values['loss'], expected, rtol=1e-6)


def test_accuracy_is_whether_the_largest_logit_is_the_label():
  logits = jnp.array([[0.0, 2.0], [3.0, 1.0], [0.0, 1.0]])
  values = per_example(logits, jnp.array([1, 1, 0]))
  assert values['accuracy'].tolist() == [1, 0, 0]
  assert values['accuracy'].dtype == jnp.float32


@pytest.mark.parametrize('bad', [jnp.nan, jnp.inf])
def test_broken_logits_are_never_right(bad):
  # The argmax of NaN, or of infinities alone, is 0: the label.
  logits = jnp.full((1, 3), bad)
  values = per_example(logits, jnp.array([0]))
  assert values['accuracy'].tolist() == [0]
  assert not np.isfinite(values['loss']).any()


def test_loss_is_float32_and_finite_for_large_bfloat16_logits():
  logits = jnp.array([[1000.0, -1000.0], [0.0, 0.25]], jnp.bfloat16)
  values = per_example(logits, jnp.array([1, 0]))
  assert values['loss'].dtype == jnp.float32
  expected = [2000, np.log(1 + np.exp(0.25))]
  np.testing.assert_allclose(values['loss'], expected, rtol=1e-6)


@pytest.mark.parametrize('share', [0.0, 0.1, 1.0])
def test_smoothed_loss_is_the_cross_entropy_with_the_spread_target(share):
  generator = np.random.default_rng(0)
  logits = jnp.asarray(generator.normal(size=(5, 4)), jnp.float32)
  labels = np.array([0, 3, 1, 1, 2])
  target = (1 - share) * np.eye(4)[labels] + share / 4
  expected = -(target * jax.nn.log_softmax(logits)).sum(1)
  loss = per_example(logits, labels)['loss']
  smoothed = jax.jit(metrics.smoothed)(loss, logits, share)
  np.testing.assert_allclose(smoothed, expected, rtol=1e-5)


# Three classes: right and sure, wrong and unsure, right; the last is filling.
LOGITS = np.array(
  [[4.0, 0, 0], [0.5, 0.2, 0.6], [0, 0, 2], [1, 1, 1]], np.float32
)
LABELS = np.array([0, 1, 2, 1], np.int32)
VALID = np.array([True, True, True, False])


def on_host(sums):
  return jax.tree.map(np.asarray, sums)


def summarized(logits, labels, valid=None):
  valid = np.ones(len(labels), bool) if valid is None else valid
  return metrics.summarize(on_host(totals(logits, labels, valid)))


def softmax(logits):
  shifted = logits - logits.max(-1, keepdims=True)
  return np.exp(shifted) / np.exp(shifted).sum(-1, keepdims=True)


def calibration_error(logits, labels):
  """Guo et al. 2017, eq. 3, bin by bin, from all examples at once."""
  certain, right = softmax(logits).max(-1), logits.argmax(-1) == labels
  error = 0.0
  for m in range(1, 16):
    members = (certain > (m - 1) / 15) & (certain <= m / 15)
    if members.any():
      gap = abs(right[members].mean() - certain[members].mean())
      error += members.mean() * gap
  return error


def random_predictions(count, classes=4, seed=0):
  generator = np.random.default_rng(seed)
  logits = generator.normal(0, 2, (count, classes)).astype(np.float32)
  return logits, generator.integers(0, classes, count).astype(np.int32)


def test_confidence_is_the_largest_probability():
  logits = random_predictions(9)[0]
  np.testing.assert_allclose(
    confidence(logits), softmax(logits).max(-1), rtol=1e-6
  )
  huge = jnp.array([[1e4, 0.0]], jnp.bfloat16)
  assert confidence(huge).tolist() == [1]
  assert confidence(huge).dtype == jnp.float32


@pytest.mark.parametrize(
  'row', [[jnp.nan, 0], [jnp.inf, 0], [-jnp.inf, -jnp.inf]]
)
def test_broken_logits_have_no_confidence(row):
  assert np.isnan(confidence(jnp.array([row])))


def test_totals_count_valid_examples_only():
  sums = on_host(totals(LOGITS, LABELS, VALID))
  assert sums.class_count.tolist() == [1, 1, 1]
  assert sums.class_right.tolist() == [1, 0, 1]
  assert sums.bin_count.sum() == 3 and sums.bin_right.sum() == 2
  losses = -np.log(softmax(LOGITS)[np.arange(4), LABELS])
  np.testing.assert_allclose(sums.loss, losses[:3].sum(), rtol=1e-6)


def test_filling_does_not_count_even_if_it_is_nan():
  broken = LOGITS.copy()
  broken[3] = np.nan
  ours, theirs = (totals(x, LABELS, VALID) for x in (LOGITS, broken))
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_summary_is_that_of_the_examples():
  values = summarized(LOGITS, LABELS, VALID)
  assert list(values) == ['loss', 'accuracy', 'ece', 'class_accuracy']
  assert values['accuracy'] == pytest.approx(2 / 3)
  assert values['class_accuracy'] == [1, 0, 1]
  # Each example is alone in its bin.
  certain = softmax(LOGITS[:3]).max(-1)
  expected = np.mean([1 - certain[0], certain[1], 1 - certain[2]])
  assert values['ece'] == pytest.approx(expected, rel=1e-5)
  assert all(isinstance(values[k], float) for k in ('loss', 'accuracy', 'ece'))


def test_a_class_without_examples_has_no_accuracy():
  values = summarized(LOGITS, np.array([0, 0, 2, 2], np.int32))
  assert values['class_accuracy'] == [0.5, None, 0.5]


def test_confidence_of_one_is_in_the_last_bin():
  sums = totals(np.array([[200.0, 0]]), np.array([0]), np.array([True]))
  assert sums.bin_count.tolist() == [0] * 14 + [1]


def test_a_label_of_no_probability_is_an_infinite_loss():
  logits = np.array([[0, -np.inf], [1, 0]], np.float32)
  values = summarized(logits, np.array([1, 0], np.int32))
  assert values['loss'] == np.inf
  # Sure, and wrong: that is a confidence.
  certain = 1 / (1 + np.exp(-1))
  assert values['ece'] == pytest.approx((1 + 1 - certain) / 2, rel=1e-5)


@given(st.integers(1, 12), st.sampled_from([1, 3, 5]), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_every_example_counts_once_however_batches_are_cut(count, size, seed):
  logits, labels = random_predictions(count, seed=seed)
  sums = None
  for start in range(0, count, size):
    rows = np.arange(start, start + size)
    part = on_host(
      totals(logits[rows % count], labels[rows % count], rows < count)
    )
    sums = part if sums is None else jax.tree.map(np.add, sums, part)
  assert sums.class_count.sum() == sums.bin_count.sum() == count
  values = metrics.summarize(sums)
  losses = -np.log(softmax(logits)[np.arange(count), labels])
  right = logits.argmax(-1) == labels
  assert values['loss'] == pytest.approx(losses.mean(), rel=1e-5)
  assert values['accuracy'] == pytest.approx(right.mean())
  expected = calibration_error(logits, labels)
  assert values['ece'] == pytest.approx(expected, rel=1e-4, abs=1e-6)
  for label, accuracy in enumerate(values['class_accuracy']):
    mine = right[labels == label]
    assert accuracy == (pytest.approx(mine.mean()) if len(mine) else None)


def largest(logits, labels):
  return logits.max(-1)


def test_own_metrics_are_means_of_the_valid_examples():
  logits = jnp.array([[1.0, 2.0], [5.0, 3.0], [jnp.nan, 0.0]])
  labels, valid = jnp.array([1, 1, 0]), jnp.array([True, True, False])
  own = (('largest', largest),)
  plain = totals(logits, labels, valid)
  sums = metrics.totals(logits, labels, valid, own)
  twice = jax.tree.map(lambda x: 2 * np.asarray(x), sums)
  expected = jax.tree.map(lambda x: 2 * np.asarray(x), plain)
  found = metrics.summarize(twice)
  assert found.pop('largest') == 3.5
  np.testing.assert_equal(found, metrics.summarize(expected))


def test_own_metrics_of_a_regression_stand_beside_its_own():
  targets = jnp.array([[1.0], [3.0]])
  sums = metrics.totals(
    targets + 1, targets, jnp.array([True, True]), (('largest', largest),)
  )
  assert metrics.summarize(sums)['largest'] == 3.0


def test_own_metrics_are_found_by_path_and_named_by_the_function():
  found = metrics.find_metrics(('jax.numpy:add', 'jax.nn:relu'))
  assert found == (('add', jnp.add), ('relu', jax.nn.relu))
  for paths in (('jax.numpy:add', 'operator:add'), ('operator:loss',)):
    with pytest.raises(errors.ConfigError, match='metric'):
      metrics.find_metrics(paths)


@pytest.mark.parametrize('name', metrics.TAKEN)
def test_own_metrics_take_no_column(name, monkeypatch):
  monkeypatch.setattr('operator.' + name, len, raising=False)
  with pytest.raises(errors.ConfigError, match=f'a column {name!r} already'):
    metrics.find_metrics((f'operator:{name}',))
