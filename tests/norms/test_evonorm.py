import functools

import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given
from hypothesis import strategies as st

from normlab.norms.evonorm import EvoNormB0, EvoNormS0

SHAPE = (3, 2, 4, 6)
SPACE = (1, 2)
BATCH = (0, 1, 2)
B0 = EvoNormB0()
S0 = EvoNormS0(num_groups=2)
LAYERS = {'B0': B0, 'S0': S0}

each = pytest.mark.parametrize('name', LAYERS)


def affine(y, params):
  return y * np.float64(params['scale']) + np.float64(params['bias'])


def b0(x, params, *, batch_var=None, mask=None, space=SPACE, epsilon=1e-3):
  """EvoNorm-B0 in float64."""
  if batch_var is None:
    _, batch_var, _ = reference.moments(x, (0, *space), mask)
  _, instance_var, _ = reference.moments(x, space, mask)
  x = np.float64(x)
  instance_std = np.sqrt(instance_var + epsilon)
  denominator = np.maximum(
    np.sqrt(np.float64(batch_var) + epsilon),
    np.float64(params['v']) * x + instance_std,
  )
  return affine(x / denominator, params)


def s0(x, params, *, groups=2, mask=None, epsilon=1e-5):
  """EvoNorm-S0 in float64."""
  grouped = (*x.shape[:-1], groups, -1)
  if mask is not None:
    mask = np.broadcast_to(mask, x.shape).reshape(grouped)
  parts = np.reshape(x, grouped)
  axes = (*range(1, x.ndim - 1), x.ndim)
  _, var, _ = reference.moments(parts, axes, mask)
  std = np.sqrt(np.broadcast_to(var, parts.shape).reshape(x.shape) + epsilon)
  x = np.float64(x)
  sigmoid = (1 + np.tanh(np.float64(params['v']) * x / 2)) / 2
  return affine(x * sigmoid / std, params)


FORMULAS = {'B0': b0, 'S0': s0}


@each
@pytest.mark.parametrize('masked', [False, True])
def test_training_equals_the_float64_formula(name, masked):
  layer = LAYERS[name]
  x = reference.normal(SHAPE, mean=0.5, std=2)
  mask = reference.normal(SHAPE, seed=1) > -0.5 if masked else None
  variables = reference.randomized(layer, x)
  y, _ = reference.train(layer, variables, x, mask=mask)
  desired = FORMULAS[name](x, variables['params'], mask=mask)
  mask = np.ones(SHAPE, bool) if mask is None else mask
  np.testing.assert_allclose(y[mask], desired[mask], rtol=1e-5, atol=1e-5)
  assert np.isfinite(y).all()


def test_either_deviation_of_b0_is_the_larger_somewhere():
  # Else the test of its formula would not see one of them.
  x = reference.normal(SHAPE, mean=0.5, std=2)
  v = reference.randomized(B0, x)['params']['v']
  _, batch_var, _ = reference.moments(x, BATCH)
  _, instance_var, _ = reference.moments(x, SPACE)
  first = v * x + np.sqrt(instance_var + 1e-3) < np.sqrt(batch_var + 1e-3)
  assert 0.2 < first.mean() < 0.8


@each
@pytest.mark.parametrize('shape', [(4, 6), (3, 4, 6), (2, 2, 2, 2, 6)])
def test_space_may_have_any_rank(name, shape):
  x = reference.normal(shape, mean=0.5)
  variables = reference.randomized(LAYERS[name], x)
  y, _ = reference.train(LAYERS[name], variables, x)
  fields = {'space': range(1, len(shape) - 1)} if name == 'B0' else {}
  desired = FORMULAS[name](x, variables['params'], **fields)
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-5)


def test_b0_averages_the_biased_batch_variance():
  layer = EvoNormB0(momentum=0.75)
  x = reference.normal(SHAPE, std=2)
  mask = reference.normal(SHAPE, seed=1) > -0.5
  variables = reference.randomized(layer, x)
  _, after = reference.train(layer, variables, x, mask=mask)
  _, var, _ = reference.moments(x, BATCH, mask)
  desired = 0.75 * variables['batch_stats']['var'] + 0.25 * var.squeeze(BATCH)
  assert set(after['batch_stats']) == {'var'}
  assert after['batch_stats']['var'].dtype == jnp.float32
  np.testing.assert_allclose(after['batch_stats']['var'], desired, rtol=1e-5)


def test_inference_of_b0_takes_the_batch_variance_from_the_state():
  x = reference.normal(SHAPE, std=2)
  variables = reference.randomized(B0, x)
  y = reference.evaluate(B0, variables, x)
  desired = b0(
    x, variables['params'], batch_var=variables['batch_stats']['var']
  )
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-5)
  one = reference.evaluate(B0, variables, x[:1])
  np.testing.assert_allclose(one, y[:1], rtol=1e-5, atol=1e-6)


def test_b0_with_v_zero_divides_by_the_larger_deviation():
  x = reference.normal(SHAPE)
  x[0] *= 10
  variables = reference.randomized(B0, x)
  params = {**variables['params'], 'v': jnp.zeros(6)}
  variables = {**variables, 'params': params}
  y, _ = reference.train(B0, variables, x)
  # The first example varies more than the batch, the others less.
  batch, instance = (
    affine(
      x / np.sqrt(reference.moments(x, axes)[1] + 1e-3), variables['params']
    )
    for axes in (BATCH, SPACE)
  )
  np.testing.assert_allclose(y[0], instance[0], rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(y[1:], batch[1:], rtol=1e-5, atol=1e-5)


def test_s0_with_a_large_v_is_relu_over_the_deviation_of_group_norm():
  x = reference.normal(SHAPE)
  x -= x.mean((1, 2, 3), keepdims=True)
  oracle = nn.GroupNorm(1, epsilon=1e-5, use_scale=False, use_bias=False)
  layer = EvoNormS0(num_groups=1, use_scale=False, use_bias=False)
  y, _ = reference.train(layer, {'params': {'v': jnp.full(6, 1e6)}}, x)
  desired = nn.relu(jax.jit(oracle.apply)({}, x))
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-5)


def test_s0_groups_by_number_or_by_size():
  x = reference.normal(SHAPE)
  variables = reference.randomized(S0, x)
  desired, _ = reference.train(S0, variables, x)
  y, _ = reference.train(EvoNormS0(group_size=3), variables, x)
  np.testing.assert_array_equal(y, desired)
  with pytest.raises(ValueError, match='num_groups=4 does not divide'):
    EvoNormS0(num_groups=4).init(jax.random.key(0), x)


@each
@reference.FEW
@given(exponent=st.integers(-5, 12), seed=st.integers(0, 99))
def test_the_scale_does_not_matter_where_v_follows_it(name, exponent, seed):
  # B0's v multiplies x as the deviations do; that of S0 must undo the scale.
  layer = LAYERS[name].clone(epsilon=0.0)
  x = reference.normal(SHAPE, seed)
  factor = np.float32(2) ** exponent
  variables = reference.randomized(layer, x)
  desired, _ = reference.train(layer, variables, x)
  if name == 'S0':
    params = variables['params']
    variables = {'params': {**params, 'v': params['v'] / factor}}
  y, _ = reference.train(layer, variables, factor * x)
  np.testing.assert_allclose(y, desired, rtol=1e-4, atol=1e-5)


@each
def test_deviations_survive_a_mean_of_1e4(name):
  x = reference.normal((4, 8, 8, 6), mean=1e4)
  variables = reference.randomized(LAYERS[name], x)
  # With v = 0 B0 shows its deviation, and S0 half of it.
  params = {**variables['params'], 'v': jnp.zeros(6)}
  variables = {**variables, 'params': params}
  y, _ = reference.train(LAYERS[name], variables, x)
  desired = FORMULAS[name](x, params)
  np.testing.assert_allclose(y, desired, rtol=1e-4)


@each
def test_v_starts_at_one_for_each_channel(name):
  x = reference.normal(SHAPE)
  init = functools.partial(LAYERS[name].init, use_running_average=False)
  variables = jax.jit(init)(jax.random.key(0), x)
  np.testing.assert_array_equal(variables['params']['v'], np.ones(6))
