import norms_reference as reference
import numpy as np
import pytest

from normlab.norms import LayerNorm, RMSNorm

SHAPE = (2, 3, 4)


@pytest.mark.parametrize('reduction_axes', [-1, (1, 2)])
@pytest.mark.parametrize('masked', [False, True])
def test_equals_the_float64_reference(reduction_axes, masked):
  layer = RMSNorm(epsilon=1e-2, reduction_axes=reduction_axes)
  x = reference.normal(SHAPE, mean=1)
  mask = reference.normal(SHAPE, seed=1) > -0.5 if masked else None
  variables = reference.randomized(layer, x)
  axes = [a % 3 for a in np.atleast_1d(reduction_axes)]
  desired = reference.standardized(
    x, axes, epsilon=1e-2, mask=mask, center=False
  )
  y, _ = reference.train(layer, variables, x, mask=mask)
  np.testing.assert_allclose(
    y, desired * variables['params']['scale'], rtol=1e-5, atol=1e-6
  )


def test_a_bias_is_added_on_request():
  x = reference.normal(SHAPE)
  layer = RMSNorm(use_bias=True)
  variables = reference.randomized(layer, x)
  params = variables['params']
  y, _ = reference.train(layer, variables, x)
  without, _ = reference.train(
    RMSNorm(), {'params': {'scale': params['scale']}}, x
  )
  assert abs(params['bias']).min() > 0.01
  np.testing.assert_allclose(y, without + params['bias'], rtol=1e-5, atol=1e-6)


def test_equals_layer_norm_on_centred_input():
  x = reference.normal(SHAPE)
  x -= x.mean(-1, keepdims=True)
  layer = LayerNorm(use_bias=False)
  variables = reference.randomized(layer, x)
  y, _ = reference.train(RMSNorm(), variables, x)
  desired, _ = reference.train(layer, variables, x)
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-5)


def test_gradient_is_the_closed_form():
  # d/dx of sum(g x / rms) is (g - x_hat mean(g x_hat)) / rms.
  layer = RMSNorm(epsilon=1e-2)
  x, g = reference.normal((2, 3, 4), mean=1)
  variables = reference.randomized(layer, x)
  params, gradient = reference.gradients(layer, variables, x, g)
  x_hat = reference.standardized(x, (1,), epsilon=1e-2, center=False)
  root = x / x_hat
  d_x_hat = g * variables['params']['scale']
  desired = (d_x_hat - x_hat * (d_x_hat * x_hat).mean(1, keepdims=True)) / root
  np.testing.assert_allclose(gradient, desired, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(params['scale'], (g * x_hat).sum(0), rtol=1e-4)
