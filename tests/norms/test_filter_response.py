import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given
from hypothesis import strategies as st

from normlab.norms.filter_response import (
  FilterResponseNorm,
  ThresholdedLinearUnit,
)

SHAPE = (3, 2, 4, 5)
SPACE = (1, 2)
PLAIN = FilterResponseNorm(use_tlu=False, use_scale=False, use_bias=False)


def desired_output(x, params, *, axes=SPACE, mask=None, epsilon=1e-6):
  y = reference.standardized(x, axes, epsilon=epsilon, mask=mask, center=False)
  y = y * np.float64(params['scale']) + np.float64(params['bias'])
  return np.maximum(y, np.float64(params['tlu']['threshold']))


@pytest.mark.parametrize('masked', [False, True])
def test_equals_the_float64_formula(masked):
  layer = FilterResponseNorm(epsilon=1e-2)
  x = reference.normal(SHAPE, mean=2)
  mask = reference.normal(SHAPE, seed=1) > -0.5 if masked else None
  variables = reference.randomized(layer, x)
  params = variables['params']
  y, after = reference.train(layer, variables, x, mask=mask)
  desired = desired_output(x, params, mask=mask, epsilon=1e-2)
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-6)
  # Both sides of the threshold are there.
  cut = np.asarray(y == params['tlu']['threshold'])
  assert cut.any()
  assert not cut.all()
  assert 'batch_stats' not in after


@pytest.mark.parametrize('shape', [(3, 5), (3, 4, 5), (2, 2, 2, 3, 5)])
def test_space_is_what_is_neither_batch_nor_feature(shape):
  layer = FilterResponseNorm()
  x = reference.normal(shape, mean=1)
  variables = reference.randomized(layer, x)
  y, _ = reference.train(layer, variables, x)
  axes = range(1, len(shape) - 1)
  desired = desired_output(x, variables['params'], axes=axes)
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-6)


def test_on_centred_input_without_threshold_it_is_instance_norm():
  x = reference.normal(SHAPE)
  x -= x.mean(SPACE, keepdims=True)
  oracle = nn.InstanceNorm(use_scale=False, use_bias=False)
  y, _ = reference.train(PLAIN, {}, x)
  np.testing.assert_allclose(
    y, jax.jit(oracle.apply)({}, x), rtol=1e-5, atol=1e-5
  )


def test_a_vector_becomes_its_signs():
  x = np.array([[0.5, -3, 100, -1e4]], np.float32)
  y = PLAIN.apply({}, x)
  np.testing.assert_allclose(y, np.sign(x), rtol=1e-5)


@reference.FEW
@given(exponent=st.integers(-5, 12), seed=st.integers(0, 99))
def test_the_scale_of_an_example_does_not_matter(exponent, seed):
  layer = FilterResponseNorm(epsilon=0.0)
  x = reference.normal(SHAPE, seed, mean=1)
  variables = reference.randomized(layer, x)
  y, _ = reference.train(layer, variables, x)
  scaled, _ = reference.train(layer, variables, x * np.float32(2) ** exponent)
  np.testing.assert_allclose(scaled, y, rtol=1e-5, atol=1e-6)


def test_learned_epsilon_is_added_without_its_sign():
  layer = FilterResponseNorm(learn_epsilon=True, epsilon=0.25)
  x = reference.normal(SHAPE)
  params = jax.jit(layer.init)(jax.random.key(0), x)['params']
  assert params['learned_epsilon'].shape == ()
  np.testing.assert_allclose(params['learned_epsilon'], 1e-4)
  for value in (0.75, -0.75):
    params = {**params, 'learned_epsilon': jnp.float32(value)}
    y, _ = reference.train(layer, {'params': params}, x)
    desired = desired_output(x, params, epsilon=1.0)
    np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-6)


def test_learned_epsilon_has_the_closed_form_gradient():
  # On one value: d/de of x / sqrt(x^2 + |e|) is -x / (2 (x^2 + |e|)^1.5).
  layer = PLAIN.clone(learn_epsilon=True, epsilon=0.0)
  x = np.array([[0.3]], np.float32)
  variables = {'params': {'learned_epsilon': jnp.float32(-0.5)}}
  params, _ = reference.gradients(layer, variables, x, np.ones_like(x))
  desired = 0.3 / 2 / (0.09 + 0.5) ** 1.5
  np.testing.assert_allclose(params['learned_epsilon'], desired, rtol=1e-5)


@pytest.mark.parametrize('value', [0.0, 3.0])
@pytest.mark.parametrize('learn_epsilon', [False, True])
def test_gradients_are_finite_on_constant_input(value, learn_epsilon):
  # At first a zero input lies on the threshold itself.
  layer = FilterResponseNorm(learn_epsilon=learn_epsilon)
  x = np.full(SHAPE, value, np.float32)
  variables = layer.init(jax.random.key(0), x)
  gradients = reference.gradients(layer, variables, x, np.ones(SHAPE))
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_without_threshold_there_is_no_parameter_of_it():
  layer = FilterResponseNorm(use_tlu=False)
  params = reference.randomized(layer, reference.normal(SHAPE))['params']
  assert set(params) == {'scale', 'bias'}


def test_a_threshold_of_zero_is_relu():
  x = reference.normal(SHAPE)
  y, variables = ThresholdedLinearUnit().init_with_output(jax.random.key(0), x)
  np.testing.assert_array_equal(y, nn.relu(x))
  assert variables['params']['threshold'].shape == (5,)


def test_a_threshold_is_a_shift_before_and_after_relu():
  x = reference.normal(SHAPE)
  threshold = reference.normal((4,), seed=1)
  layer = ThresholdedLinearUnit(feature_axes=2)
  y = layer.apply({'params': {'threshold': threshold}}, x)
  shift = threshold[:, None]
  desired = nn.relu(x - shift) + shift
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-6)


def test_the_threshold_has_the_gradient_of_what_it_cuts_off():
  x = reference.normal(SHAPE)
  threshold = reference.normal((5,), seed=1)

  def total(threshold):
    variables = {'params': {'threshold': threshold}}
    return ThresholdedLinearUnit().apply(variables, x).sum()

  gradient = jax.grad(total)(threshold)
  np.testing.assert_array_equal(gradient, (x < threshold).sum((0, 1, 2)))


@pytest.mark.parametrize('dtype', [np.int32, np.complex64])
def test_a_threshold_needs_real_input(dtype):
  with pytest.raises(TypeError, match='^ThresholdedLinearUnit: the input has'):
    ThresholdedLinearUnit().init(jax.random.key(0), np.ones(SHAPE, dtype))
