import jax
import jax.numpy as jnp
import numpy as np
import pytest

from normlab.program import metrics, regression, training_step

totals = jax.jit(metrics.totals)
TARGETS = np.array([[1.0, -2.0], [3.0, 0.5], [0.0, 4.0]], np.float32)
OUTPUTS = np.array([[0.0, -2.0], [1.0, 1.5], [0.5, 2.0]], np.float32)


def summary(outputs, targets, valid=None):
  valid = np.ones(len(targets), bool) if valid is None else valid
  sums = totals(jnp.asarray(outputs), jnp.asarray(targets), valid)
  return metrics.summarize(jax.tree.map(np.float64, sums))


def test_loss_is_the_sum_over_outputs_of_the_squared_error():
  values = metrics.per_example(jnp.asarray(OUTPUTS), jnp.asarray(TARGETS))
  assert list(values) == ['loss']
  np.testing.assert_allclose(values['loss'], [1, 5, 4.25], rtol=1e-6)


def test_training_metrics_are_the_mean_loss_alone():
  # The accuracy of an evaluation needs the variance of a whole split.
  found = training_step.training_metrics(
    jnp.asarray(OUTPUTS), jnp.asarray(TARGETS), None
  )
  assert list(found) == ['loss']
  np.testing.assert_allclose(found['loss'], 10.25 / 3, rtol=1e-6)


def test_accuracy_is_the_share_of_the_variance_that_is_explained():
  found = summary(OUTPUTS, TARGETS)
  assert set(found) == {'loss', 'accuracy'}
  np.testing.assert_allclose(found['loss'], 10.25 / 3, rtol=1e-6)
  deviations = ((TARGETS - TARGETS.mean(0)) ** 2).sum()
  np.testing.assert_allclose(
    found['accuracy'], 1 - 10.25 / deviations, rtol=1e-5
  )


@pytest.mark.parametrize('offset', [0.0, 30.0])
def test_accuracy_is_one_for_the_targets_and_zero_for_their_mean(offset):
  targets = TARGETS + offset
  assert summary(targets, targets)['accuracy'] == 1
  means = np.broadcast_to(targets.mean(0), targets.shape)
  assert summary(means, targets)['accuracy'] == pytest.approx(0, abs=1e-4)


def test_accuracy_worse_than_the_mean_is_zero():
  assert summary(-10 * TARGETS, TARGETS)['accuracy'] == 0


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_broken_network_explains_nothing(bad):
  found = summary(np.full_like(TARGETS, bad), TARGETS)
  assert found['accuracy'] == 0
  assert not np.isfinite(found['loss'])


def test_targets_without_variance_leave_nothing_to_explain():
  constant = np.full_like(TARGETS, 0.5)
  assert summary(constant, constant) == {'loss': 0, 'accuracy': 0}


def test_examples_that_fill_a_batch_up_do_not_count():
  filler = np.full((2, 2), np.nan, np.float32)
  valid = np.array([True] * 3 + [False] * 2)
  found = summary(
    np.vstack([OUTPUTS, filler]), np.vstack([TARGETS, filler]), valid
  )
  assert found == pytest.approx(summary(OUTPUTS, TARGETS), rel=1e-6)


def test_totals_of_batches_add_up_to_those_of_the_whole():
  valid = np.ones(2, bool)
  parts = [
    totals(jnp.asarray(OUTPUTS[rows]), jnp.asarray(TARGETS[rows]), valid[:n])
    for rows, n in ((slice(0, 2), 2), (slice(2, 3), 1))
  ]
  added = jax.tree.map(lambda *x: np.float64(sum(x)), *parts)
  assert metrics.summarize(added) == pytest.approx(
    summary(OUTPUTS, TARGETS), rel=1e-6
  )


def test_float_labels_and_no_others_make_a_regression():
  assert regression.is_regression(TARGETS)
  assert not regression.is_regression(np.array([1, 0], np.int32))
