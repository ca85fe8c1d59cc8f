import functools
import math

import hypothesis
import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from hypothesis import strategies as st

from normlab.norms import lp
from normlab.norms.batch import BatchNorm
from normlab.norms.lp import LpBatchNorm

SHAPE = (4, 2, 3)
AXES = (0, 1)
EXPONENTS = [1, 1.5, 3, math.inf]
every_p = pytest.mark.parametrize('p', EXPONENTS)
# One for each way to the norm that could divide by zero.
guarded_p = pytest.mark.parametrize('p', [1.5, 3, math.inf])


def deviation(x, p, convention='gaussian', mask=None):
  """What the layer divides by, without epsilon: float64, shape (1, 1, 3)."""
  x = np.asarray(x, np.float64)
  mask = np.broadcast_to(True if mask is None else mask, x.shape)
  mean, _, n = reference.moments(x, AXES, mask)
  magnitude = abs(x - mean) if convention == 'gaussian' else abs(x)
  magnitude = np.where(mask, magnitude, 0)
  if p == math.inf:
    norm = magnitude.max(AXES, keepdims=True)
    factor = (1 + np.sqrt(np.pi * np.log(4))) / 2 / np.sqrt(2 * np.log(n))
  else:
    norm = ((magnitude**p).sum(AXES, keepdims=True) / n) ** (1 / p)
    factor = (np.sqrt(np.pi) / (2 ** (p / 2) * math.gamma((p + 1) / 2))) ** (
      1 / p
    )
  return norm * factor if convention == 'gaussian' else norm


@functools.cache
def batch():
  return reference.normal(SHAPE, mean=1), reference.normal(SHAPE, 1) > -0.8


def ready(p, **fields):
  layer = LpBatchNorm(p=p, **fields)
  return layer, reference.randomized(layer, batch()[0])


@every_p
@pytest.mark.parametrize('convention', lp.CONVENTIONS)
def test_output_and_state_are_the_float64_reference(p, convention):
  layer, variables = ready(
    p, convention=convention, epsilon=1e-2, momentum=0.75
  )
  x, mask = batch()
  mean, _, _ = reference.moments(x, AXES, mask)
  desired = deviation(x, p, convention, mask)
  y, after = reference.train(layer, variables, x, mask=mask)
  params, stats = variables['params'], variables['batch_stats']
  x_hat = (x - mean) / np.sqrt(desired**2 + 1e-2)
  np.testing.assert_allclose(
    y, x_hat * params['scale'] + params['bias'], rtol=1e-4, atol=1e-5
  )
  # Epsilon is not in it, the factor is.
  for key, value in (('mean', mean), ('deviation', desired)):
    np.testing.assert_allclose(
      after['batch_stats'][key],
      0.75 * stats[key] + 0.25 * value.squeeze(AXES),
      rtol=1e-5,
      atol=1e-6,
    )


def test_literal_p_2_divides_by_the_root_mean_square():
  layer, variables = ready(2, convention='literal', epsilon=1e-2)
  x, _ = batch()
  x64 = x.astype(np.float64)
  root = np.sqrt((x64**2).mean(AXES) + 1e-2)
  params = variables['params']
  desired = (x - x64.mean(AXES)) / root * params['scale'] + params['bias']
  y, _ = reference.train(layer, variables, x)
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('p', [2, 2.0])
def test_p_2_is_batch_norm_exactly(p):
  layer, variables = ready(p)
  x, mask = batch()
  cotangent = reference.normal(SHAPE, 9)
  y, after = reference.train(layer, variables, x, mask=mask)
  # BatchNorm has a `var` in place of the deviation.
  stats = {'mean': variables['batch_stats']['mean'], 'var': np.ones(3)}
  variables_bn = {**variables, 'batch_stats': stats}
  desired, after_bn = reference.train(BatchNorm(), variables_bn, x, mask=mask)
  np.testing.assert_array_equal(y, desired)
  np.testing.assert_array_equal(
    after['batch_stats']['mean'], after_bn['batch_stats']['mean']
  )
  actual = reference.gradients(layer, variables, x, cotangent, mask=mask)
  gradients = reference.gradients(
    BatchNorm(), variables_bn, x, cotangent, mask=mask
  )
  jax.tree.map(np.testing.assert_array_equal, actual, gradients)


@pytest.mark.parametrize('p', [1, 1.5, 2, 3, 8, 400])
def test_the_factor_gives_gaussian_values_unit_deviation(p):
  z = np.linspace(0, 60, 600_001)
  # In logarithms: 60^400 is no number.
  with np.errstate(divide='ignore'):
    log_density = p * np.log(z) - z**2 / 2 + np.log(2 / np.pi) / 2
  top = log_density.max()
  log_moment = top + np.log(np.exp(log_density - top).sum() * z[1])
  np.testing.assert_allclose(
    lp.gaussian_factor(p, 7.0) * np.exp(log_moment / p), 1, rtol=1e-6
  )


def test_the_factors_of_the_paper():
  np.testing.assert_allclose(lp.gaussian_factor(1, 9.0), np.sqrt(np.pi / 2))
  np.testing.assert_allclose(lp.gaussian_factor(2, 9.0), 1)
  # Two bounds, of which C(n) is the middle.
  for n in (10, 1000):
    lower, upper = 1 / np.sqrt(2 * np.log(n)), np.sqrt(np.pi * np.log(4))
    np.testing.assert_allclose(
      lp.gaussian_factor(math.inf, n), (lower + upper * lower) / 2, rtol=1e-6
    )


@pytest.mark.parametrize('p', [1, math.inf])
def test_inference_repeats_training_for_any_batch_size(p):
  layer, variables = ready(p, momentum=0.0)
  x, _ = batch()
  y, after = reference.train(layer, variables, x)
  for rows in (slice(None), slice(1)):
    actual = layer.apply(after, x[rows], use_running_average=True)
    np.testing.assert_allclose(actual, y[rows], rtol=1e-4, atol=1e-5)


def test_infinity_may_be_written_in_json():
  x, _ = batch()
  layer, variables = ready(math.inf)
  y, _ = reference.train(LpBatchNorm(p='inf'), variables, x)
  np.testing.assert_array_equal(y, reference.train(layer, variables, x)[0])


@guarded_p
def test_output_and_gradients_are_finite_on_constant_channels(p):
  layer, variables = ready(p)
  cotangent = reference.normal(SHAPE, 9)
  for value in (0.0, 3.3, 12345.678):
    x, _ = batch()
    x = x.copy()
    x[..., 1] = value
    y, after = reference.train(layer, variables, x)
    bias = variables['params']['bias'][1]
    np.testing.assert_allclose(y[..., 1], bias, atol=1e-5)
    gradients = reference.gradients(layer, variables, x, cotangent)
    leaves = jax.tree.leaves((y, after, gradients))
    assert all(np.isfinite(leaf).all() for leaf in leaves)


@guarded_p
def test_channels_that_are_all_masked_keep_their_state(p):
  layer, variables = ready(p)
  x, mask = batch()
  x, mask = x.copy(), mask.copy()
  mask[..., 2] = False
  x[~mask] = np.nan
  y, after = reference.train(layer, variables, x, mask=mask)
  for key, before in variables['batch_stats'].items():
    now = after['batch_stats'][key]
    np.testing.assert_array_equal(now[2], before[2])
    assert (now[:2] != before[:2]).all()
  gradients = reference.gradients(
    layer, variables, x, np.ones(SHAPE), mask=mask
  )
  leaves = jax.tree.leaves((y, after, gradients))
  assert all(np.isfinite(leaf).all() for leaf in leaves)


def test_high_powers_of_large_values_do_not_overflow():
  # 1e15^8 is infinite in float32, and 1e-15^8 is zero.
  layer, variables = ready(8, epsilon=0.0)
  x, _ = batch()
  desired, _ = reference.train(layer, variables, x)
  for factor in (1e15, 1e-15):
    scaled = x * np.float32(factor)
    y, _ = reference.train(layer, variables, scaled)
    np.testing.assert_allclose(y, desired, rtol=1e-3, atol=1e-4)


@hypothesis.given(
  st.sampled_from(EXPONENTS), st.floats(0.01, 100), st.floats(-10, 10)
)
@reference.FEW
def test_neither_scale_nor_offset_of_the_input_matter(p, scale, offset):
  layer, variables = ready(p, epsilon=0.0)
  x, _ = batch()
  y, _ = reference.train(layer, variables, np.float32(scale) * x)
  shifted = np.float32(scale) * (x + np.float32(offset))
  desired, _ = reference.train(layer, variables, shifted)
  np.testing.assert_allclose(y, desired, rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(
    y, reference.train(layer, variables, x)[0], rtol=1e-3, atol=1e-4
  )


@pytest.mark.parametrize('devices', [1, 2, 4])
def test_ties_of_the_maximum_share_its_gradient_equally(devices):
  layer = LpBatchNorm(p='inf', epsilon=0.0, use_scale=False, use_bias=False)
  # Two of magnitude 3, on a mean of 0; with two devices, one on each.
  x = np.array([[3], [2], [-3], [-2]], np.float32)
  g = np.array([[1.0], [2], [4], [-3]], np.float32)
  variables = layer.init(jax.random.key(0), x, False)
  mapped = layer.clone(axis_name='devices')

  @functools.partial(jax.vmap, axis_name='devices')
  def run(x):
    return reference.training(mapped, variables, x)[0]

  def loss(x):
    return (run(x.reshape(devices, -1, 1)).reshape(4, 1) * g).sum()

  c = lp.gaussian_factor(math.inf, 4.0)
  largest = np.array([[0.5], [0], [-0.5], [0]])
  desired = (g - g.mean()) / (3 * c) - (g * x).sum() / (9 * c) * largest
  np.testing.assert_allclose(
    jax.jit(jax.grad(loss))(x), desired, rtol=1e-5, atol=1e-6
  )


def test_gradient_of_the_mean_magnitude_is_the_closed_form():
  layer, variables = ready(1, epsilon=0.0)
  x, _ = batch()
  g = reference.normal(SHAPE, 9)
  _, gradient = reference.gradients(layer, variables, x, g)
  d = deviation(x, 1)
  g = g * np.asarray(variables['params']['scale'], np.float64)
  centred = x - x.mean(AXES, dtype=np.float64)
  sign = np.sign(centred) - np.sign(centred).mean(AXES)
  slope = np.sqrt(np.pi / 2) * sign / 8
  desired = (g - g.mean(AXES)) / d
  desired -= (g * centred).sum(AXES) / d**2 * slope
  np.testing.assert_allclose(gradient, desired, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('p', [1.5, math.inf])
def test_derivatives_agree_with_finite_differences_to_second_order(p):
  with jax.enable_x64(True):
    layer, variables = ready(p)
    x, v, cotangent = np.random.default_rng(0).normal(size=(3, *SHAPE))

    def loss(x):
      y, _ = reference.training(layer, variables, x)
      return (y * cotangent).sum()

    @jax.jit
    def derivatives(x):
      gradient, curvature = jax.jvp(jax.grad(loss), (x,), (v,))
      forward = jax.jvp(loss, (x,), (v,))[1]
      return loss(x), (gradient * v).sum(), (curvature * v).sum(), forward

    h = 1e-5
    here, ahead, behind = (derivatives(x + step * v) for step in (0, h, -h))
    assert here[0].dtype == np.float64
    first, second = ((ahead[i] - behind[i]) / (2 * h) for i in (0, 1))
    np.testing.assert_allclose(here[1], first, rtol=1e-5)
    np.testing.assert_allclose(here[3], first, rtol=1e-5)
    np.testing.assert_allclose(here[2], second, rtol=1e-4)


@pytest.mark.parametrize('p', [1.5, 3])
def test_second_derivative_is_finite_on_a_constant_channel(p):
  layer, variables = ready(p)
  x = np.ones(SHAPE, np.float32)
  v = reference.normal(SHAPE)

  def loss(x):
    return (reference.training(layer, variables, x)[0] ** 3).sum()

  curvature = jax.jit(lambda x: jax.jvp(jax.grad(loss), (x,), (v,))[1])(x)
  assert np.isfinite(curvature).all()


@pytest.mark.parametrize('p', [1, 3, math.inf])
def test_devices_with_unequal_masks_equal_the_joined_batch(p):
  layer, variables = ready(p)
  x, mask = batch()
  mask = mask.copy()
  mask[0] = False
  cotangent = reference.normal(SHAPE, 9)
  mapped = layer.clone(axis_name='devices')

  def split(x, mask):
    return jax.vmap(
      lambda x, mask: reference.training(mapped, variables, x, mask=mask),
      axis_name='devices',
    )(x[:, None], mask[:, None])

  @jax.jit
  def run(x, mask):
    y, pull = jax.vjp(lambda x: split(x, mask)[0][:, 0], x)
    return y, split(x, mask)[1], pull(jnp.asarray(cotangent))[0]

  y, after, gradient = run(x, mask)
  desired, joined = reference.train(layer, variables, x, mask=mask)
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-5)
  for key, value in joined['batch_stats'].items():
    np.testing.assert_allclose(after['batch_stats'][key][0], value, rtol=1e-5)
  _, desired = reference.gradients(layer, variables, x, cotangent, mask=mask)
  np.testing.assert_allclose(gradient, desired, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'p': 0.5}, 'p=0.5 must be a number of at least 1'),
    ({'p': math.nan}, 'p=nan must be'),
    ({'p': -math.inf}, 'p=-inf must be'),
    ({'p': 'two'}, "p='two' must be"),
    ({'p': None}, 'p=None must be'),
    ({'convention': 'l1'}, "convention='l1' must be one of 'gaussian', 'l"),
  ],
)
def test_bad_fields_are_errors_that_name_the_field(fields, message):
  layer = LpBatchNorm(**fields)
  with pytest.raises(ValueError, match=f'^LpBatchNorm: {message}'):
    layer.init(jax.random.key(0), batch()[0], use_running_average=True)
