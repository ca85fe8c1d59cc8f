import dataclasses

import jax
import norms_reference as reference
import numpy as np
import pytest

from normlab.norms.batch import BatchNorm
from normlab.norms.mean_only import MeanOnlyBatchNorm

SHAPE = (4, 2, 3)
AXES = (0, 1)
LAYER = MeanOnlyBatchNorm(momentum=0.75)
X = reference.normal(SHAPE, mean=2)
MASK = reference.normal(SHAPE, 1) > -0.8


@pytest.mark.parametrize('mask', [None, MASK], ids=['all', 'masked'])
def test_training_takes_the_mean_of_the_batch_away(mask):
  variables = reference.randomized(LAYER, X)
  mean, _, _ = reference.moments(X, AXES, mask)
  y, after = reference.train(LAYER, variables, X, mask=mask)
  np.testing.assert_allclose(
    y, X - mean + variables['params']['bias'], rtol=1e-5, atol=1e-6
  )
  np.testing.assert_allclose(
    after['batch_stats']['mean'],
    0.75 * variables['batch_stats']['mean'] + 0.25 * mean.squeeze(AXES),
    rtol=1e-6,
  )


def test_inference_takes_the_running_mean_away():
  variables = reference.randomized(LAYER, X)
  y = reference.evaluate(LAYER, variables, X)
  desired = X - variables['batch_stats']['mean'] + variables['params']['bias']
  np.testing.assert_allclose(y, desired, rtol=1e-6)


def test_gradient_is_the_cotangent_without_its_mean():
  g = reference.normal(SHAPE, 9, mean=1)
  variables = reference.randomized(LAYER, X)
  params, gradient = reference.gradients(LAYER, variables, X, g)
  np.testing.assert_allclose(gradient, g - g.mean(AXES), rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(params['bias'], g.sum(AXES), rtol=1e-5)


def test_gradient_in_inference_is_the_cotangent():
  g = reference.normal(SHAPE, 9, mean=1)
  variables = reference.randomized(LAYER, X)

  def loss(x):
    return (reference.evaluate(LAYER, variables, x) * g).sum()

  np.testing.assert_array_equal(jax.grad(loss)(X), g)


def test_has_a_bias_and_a_running_mean_and_nothing_else():
  variables = reference.randomized(LAYER, X)
  assert set(variables['params']) == {'bias'}
  assert set(variables['batch_stats']) == {'mean'}
  layer = LAYER.clone(use_bias=False)
  assert 'params' not in reference.randomized(layer, X)


def test_fields_that_would_do_nothing_are_none_of_its_own():
  fields = {field.name for field in dataclasses.fields(MeanOnlyBatchNorm)}
  pointless = {'epsilon', 'use_scale', 'scale_init', 'use_fast_variance'}
  assert not fields & pointless
  assert fields < {field.name for field in dataclasses.fields(BatchNorm)}


def test_a_large_mean_is_taken_away_without_loss():
  # Both are exact in float32: multiples of 2^-10 below 2^14.
  z = np.round(reference.normal(SHAPE) * 2**6) / 2**6
  x = (z + 1e4).astype(np.float32)
  variables = reference.randomized(LAYER, x)
  y, _ = reference.train(LAYER, variables, x)
  desired = z - z.mean(AXES) + variables['params']['bias']
  # The mean itself is rounded, by at most 2^-11.
  np.testing.assert_allclose(y, desired, atol=2**-10)
