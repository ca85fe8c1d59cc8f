"""What BatchNorm has beyond flax: other running averages, and frozen ones."""

import jax
import norms_reference as reference
import numpy as np
import pytest

from normlab.norms import BatchNorm

SHAPE = (6, 2, 3)
AXES = (0, 1)
BATCHES = [reference.normal(SHAPE, s, mean=s, std=1 + s) for s in range(4)]
X = BATCHES[1]


def trained(layer, batches, mask=None):
  """The state after training calls on the batches."""
  variables = reference.randomized(layer, batches[0])
  for x in batches:
    _, variables = reference.train(layer, variables, x, mask=mask)
  return variables['batch_stats']


def statistics(x):
  mean, var, _ = reference.moments(x, AXES)
  return {'mean': mean.squeeze(AXES), 'var': var.squeeze(AXES)}


@pytest.mark.parametrize('fields', [{'debias': True}, {'momentum': None}])
def test_inference_after_one_step_has_the_statistics_of_the_batch(fields):
  layer = BatchNorm(**fields)
  y, variables = reference.train(layer, reference.randomized(layer, X), X)
  np.testing.assert_allclose(
    reference.evaluate(layer, variables, X), y, rtol=1e-4, atol=1e-5
  )


@pytest.mark.parametrize('fields', [{'debias': True}, {'momentum': None}])
def test_each_channel_counts_the_updates_that_had_values_for_it(fields):
  layer = BatchNorm(**fields)
  variables = reference.randomized(layer, X)
  masks = np.array([[1, 0, 0], [1, 1, 0]], bool)
  for x, mask in zip(BATCHES, masks, strict=False):
    _, variables = reference.train(layer, variables, x, mask=mask)
  after = variables['batch_stats']
  assert after['updates'].tolist() == [2, 1, 0]
  for key in ('mean', 'var'):
    # The second batch is the first that channel 1 sees.
    np.testing.assert_allclose(
      after[key][1], statistics(BATCHES[1])[key][1], rtol=1e-5
    )
    start = reference.randomized(layer, X)['batch_stats'][key]
    assert after[key][2] == start[2]


def test_only_a_training_call_with_values_counts_as_an_update():
  layer = BatchNorm(momentum=None)
  variables = reference.randomized(layer, X)
  empty = np.zeros(SHAPE, bool)
  calls = [(True, None), (False, empty)]
  for use_running_average, mask in calls:
    _, after = layer.apply(
      variables, X, use_running_average, mask=mask, mutable=['batch_stats']
    )
    reference.assert_trees_close(
      dict(after['batch_stats']), dict(variables['batch_stats']), rtol=0
    )


@pytest.mark.parametrize('fields', [{}, {'momentum': 0.5}, {'unbiased': True}])
def test_without_need_there_is_no_counter(fields):
  state = reference.randomized(BatchNorm(**fields), X)['batch_stats']
  assert set(state) == {'mean', 'var'}


def test_the_unbiased_variance_counts_the_values_of_each_channel():
  layer = BatchNorm(momentum=0.0, unbiased=True)
  mask = reference.normal(SHAPE, seed=1) > 0
  mask[..., 1] = False
  mask[0, 0, 1] = True  # One value: its variance is 0, and not 0 / 0.
  after = trained(layer, [X], mask)
  counts = mask.sum(AXES)
  assert counts[0] != counts[2]
  desired = [
    X[mask[..., channel], channel].astype(np.float64).var(ddof=1)
    for channel in (0, 2)
  ]
  var = np.asarray(after['var'])
  np.testing.assert_allclose(var[[0, 2]], desired, rtol=1e-5)
  assert var[1] == 0


def test_the_batch_itself_is_normalized_with_the_biased_variance():
  variables = reference.randomized(BatchNorm(), X)
  y, _ = reference.train(BatchNorm(unbiased=True), variables, X)
  desired, _ = reference.train(BatchNorm(), variables, X)
  np.testing.assert_array_equal(y, desired)


def test_frozen_training_is_inference_with_trained_parameters():
  layer = BatchNorm(frozen=True, momentum=None, epsilon=1e-3)
  variables = reference.randomized(layer, X)
  params, stats = variables['params'], variables['batch_stats']
  y, after = reference.train(layer, variables, X)
  np.testing.assert_allclose(
    y, reference.evaluate(layer, variables, X), rtol=1e-6
  )
  reference.assert_trees_close(after['batch_stats'], stats, rtol=0)
  cotangent = reference.normal(SHAPE, seed=9)
  gradients, gradient = reference.gradients(layer, variables, X, cotangent)
  deviation = np.sqrt(stats['var'] + 1e-3)
  x_hat = (X - stats['mean']) / deviation
  # Nothing flows through statistics that are constants.
  np.testing.assert_allclose(
    gradient, cotangent * params['scale'] / deviation, rtol=1e-4
  )
  np.testing.assert_allclose(
    gradients['scale'], (cotangent * x_hat).sum(AXES), rtol=1e-4
  )
  np.testing.assert_allclose(gradients['bias'], cotangent.sum(AXES), rtol=1e-4)


def test_frozen_still_wants_to_know_the_mode():
  with pytest.raises(
    ValueError, match='use_running_average is given in neither'
  ):
    BatchNorm(frozen=True).init(jax.random.key(0), X)
