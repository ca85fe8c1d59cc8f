import functools

import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from flax import linen as nn

from normlab.norms.kernels.weight_standardization import WeightStandardization

KERNEL = reference.normal((3, 4), seed=1, mean=0.5)


@functools.partial(jax.jit, static_argnums=0)
def standardized(layer, kernel, scale=None):
  """The kernel that a dense layer of 4 outputs is called with."""
  params = {'layer_instance': {'kernel': kernel}}
  if scale is not None:
    params['layer_instance/kernel/scale'] = scale
  return layer.apply({'params': params}, jnp.eye(kernel.shape[0]))


def dense(**fields):
  return WeightStandardization(nn.Dense(4, use_bias=False), **fields)


@pytest.mark.parametrize('fields', [{}, {'epsilon': 0.1}])
def test_kernel_is_standardized_for_each_output(fields):
  desired = reference.standardized(
    KERNEL, (0,), epsilon=fields.get('epsilon', 1e-5)
  )
  w = standardized(dense(**fields), KERNEL)
  np.testing.assert_allclose(w, desired, rtol=1e-4, atol=1e-6)


def test_all_axes_of_a_convolution_but_the_last_are_reduced():
  conv = nn.Conv(4, (2, 3), padding='VALID')
  x = reference.normal((2, 5, 6, 3))
  layer = WeightStandardization(conv)
  params = layer.init(jax.random.key(0), x)['params']
  raw = params['layer_instance']
  kernel = reference.standardized(raw['kernel'], (0, 1, 2), epsilon=1e-5)
  bias = reference.normal((4,))
  params = {'layer_instance': {'kernel': raw['kernel'], 'bias': bias}}
  desired = conv.apply({'params': {'kernel': kernel, 'bias': bias}}, x)
  y = layer.apply({'params': params}, x)
  np.testing.assert_allclose(y, desired, rtol=1e-4, atol=1e-4)


def test_unit_deviation_survives_a_mean_of_1e4():
  kernel = reference.normal((64, 4), mean=1e4)
  w = standardized(dense(), kernel)
  np.testing.assert_allclose(np.std(w, 0), 1, rtol=0.01)
  np.testing.assert_allclose(np.mean(w, 0), 0, atol=0.01)


def test_scaled_is_the_formula_of_normalizer_free_networks():
  scale = reference.normal((4,))
  kernel = KERNEL.astype(np.float64)
  kernel[:, 1] = 1 + 1e-3 * KERNEL[:, 1]  # var * fan_in below 1e-4.
  mean, var, _ = reference.moments(kernel, (0,))
  assert (3 * var < 1e-4).sum() == 1
  desired = (kernel - mean) * scale / np.sqrt(np.maximum(var * 3, 1e-4))
  w = standardized(dense(scaled=True), kernel.astype(np.float32), scale)
  np.testing.assert_allclose(w, desired, rtol=1e-3, atol=1e-6)


def test_scaled_keeps_the_variance_of_white_noise():
  x = reference.normal((2000, 32))
  layer = WeightStandardization(nn.Dense(4), scaled=True)
  variables = layer.init(jax.random.key(0), x)
  y = layer.apply(variables, x)
  np.testing.assert_allclose(np.std(y, 0), 1, rtol=0.1)


def test_the_scale_has_its_initializer_and_is_absent_by_default():
  init = nn.initializers.constant(2)
  x = np.ones((1, 3), np.float32)
  params = dense(scaled=True, scale_init=init).init(jax.random.key(0), x)
  scale = params['params']['layer_instance/kernel/scale']
  np.testing.assert_array_equal(scale, np.full(4, 2, np.float32))
  assert list(dense().init(jax.random.key(0), x)['params']) == [
    'layer_instance'
  ]


def test_gradient_is_the_closed_form():
  # d/dW of sum(g W_hat) is (g - E[g] - W_hat E[g W_hat]) / std.
  g = reference.normal(KERNEL.shape, seed=3)
  layer = dense(epsilon=1e-2)
  gradient = jax.grad(lambda k: (standardized(layer, k) * g).sum())(KERNEL)
  w = reference.standardized(KERNEL, (0,), epsilon=1e-2)
  _, var, _ = reference.moments(KERNEL, (0,))
  desired = g - g.mean(0) - w * (g * w).mean(0)
  np.testing.assert_allclose(
    gradient, desired / np.sqrt(var + 1e-2), rtol=1e-3, atol=1e-4
  )


def test_equals_torch_with_a_biased_variance():
  torch = pytest.importorskip('torch')
  # Batch norm of the filters as if they were channels.
  desired = torch.nn.functional.batch_norm(
    torch.tensor(KERNEL), None, None, training=True, eps=1e-5
  )
  w = standardized(dense(), KERNEL)
  np.testing.assert_allclose(w, desired, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('scaled', [False, True])
@pytest.mark.parametrize('kernel', [np.full((3, 4), 0.7), np.ones((1, 4))])
def test_a_constant_filter_is_zero(scaled, kernel):
  scale = np.ones(4, np.float32) if scaled else None
  w = standardized(dense(scaled=scaled), kernel.astype(np.float32), scale)
  np.testing.assert_allclose(w, 0, atol=1e-4)


def test_a_depthwise_convolution_is_standardized_for_each_channel():
  layer = WeightStandardization(nn.Conv(3, (3,), feature_group_count=3))
  x = np.ones((1, 5, 3), np.float32)
  variables = layer.init(jax.random.key(0), x)
  y = layer.apply(variables, x)
  # The sum of a filter is zero, where it does not hang over the edge.
  np.testing.assert_allclose(y[:, 1:-1], 0, atol=1e-5)
