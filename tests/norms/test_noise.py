import functools

import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from flax import linen as nn

from normlab.norms.batch import BatchNorm
from normlab.norms.noise import DistributionalNoise, NoisyBatchNorm

SHAPE = (4, 2, 3)
X = reference.normal(SHAPE, mean=1)
# Of a generator that compiles faster than the default one.
KEY = jax.random.key(0, impl='unsafe_rbg')
DEFAULT_KEY = jax.random.key(0)
NONE = {
  'mean_range': 0.0,
  'max_std': 1.0,
  'mean_jitter': 0.0,
  'std_jitter': 0.0,
}
BOTH = pytest.mark.parametrize('layer', [DistributionalNoise, NoisyBatchNorm])


@functools.partial(jax.jit, static_argnums=0)
def noisy(layer, x, key=KEY, **kwargs):
  return layer.apply({}, x, False, rngs={'noise': key}, **kwargs)


def train(layer, variables, x, key=KEY, **kwargs):
  return reference.train(layer, variables, x, rngs={'noise': key}, **kwargs)


@functools.cache
def draws():
  """s and m, [examples, channels], of the default noise.

  m is what becomes of 0, and s + m of 1, under the same key.
  """
  layer = DistributionalNoise()
  m, s_plus_m = (
    noisy(layer, np.full((400, 300), value, np.float32), DEFAULT_KEY)
    for value in (0, 1)
  )
  return s_plus_m - m, m


def test_means_of_channels_are_uniform_in_their_range():
  # The mean of 400 draws of a channel is its own to 0.1 / sqrt(3 * 400).
  means = np.sort(np.mean(draws()[1], 0))
  assert abs(means).max() < 0.51
  assert means[0] < -0.45
  assert means[-1] > 0.45
  np.testing.assert_allclose(means.mean(), 0, atol=0.05)
  np.testing.assert_allclose(means.std(), 0.5 / 3**0.5, rtol=0.1)


def test_deviations_of_channels_are_uniform_from_one_up():
  # The mean of 400 draws of a channel is its own to 0.1 / sqrt(400).
  stds = np.mean(draws()[0], 0)
  assert 0.98 < stds.min() < 1.03
  assert 1.22 < stds.max() < 1.27
  np.testing.assert_allclose(stds.mean(), 1.125, atol=0.015)
  np.testing.assert_allclose(stds.std(), 0.25 / 12**0.5, rtol=0.1)


def test_values_of_a_channel_scatter_by_the_jitters():
  s, m = draws()
  around = m - np.mean(m, 0)
  # Uniform: bounded, and its deviation is the limit by sqrt(3).
  assert 0.09 < abs(around).max() < 0.115
  np.testing.assert_allclose(around.std(), 0.1 / 3**0.5, rtol=0.01)
  # Gaussian: 0.3% beyond three deviations; and a deviation, not a variance.
  around = s - np.mean(s, 0)
  np.testing.assert_allclose(around.std(), 0.1, rtol=0.01)
  np.testing.assert_allclose((abs(around) > 0.3).mean(), 0.0027, rtol=0.3)


def test_draws_are_independent_of_each_other():
  s, m = draws()
  means = [np.mean(a, 0) for a in (s, m)]
  rests = [np.asarray(a - np.mean(a, 0)) for a in (s, m)]
  neighbours = rests[1][:-1].ravel(), rests[1][1:].ravel()
  # Of 300 channels, and of 120,000 values.
  assert abs(np.corrcoef(*means)[0, 1]) < 0.2
  for pair in (rests, neighbours):
    assert abs(np.corrcoef(*map(np.ravel, pair))[0, 1]) < 0.02


@pytest.mark.parametrize(
  'field, value', [('mean_range', 3.0), ('mean_jitter', 2.0)]
)
def test_a_mean_moves_the_zeros_by_at_most_its_field(field, value):
  m = noisy(DistributionalNoise(**{**NONE, field: value}), np.zeros((50, 40)))
  assert 0.9 * value < abs(m).max() <= value
  # A channel's mean is one number, a jitter is another for each example.
  assert (np.ptp(m, axis=0) > 0).all() == (field == 'mean_jitter')


@pytest.mark.parametrize(
  'field, value', [('max_std', 3.0), ('std_jitter', 2.0)]
)
def test_a_deviation_leaves_zeros_alone_and_scales_ones(field, value):
  layer = DistributionalNoise(**{**NONE, field: value})
  assert not noisy(layer, np.zeros((50, 40))).any()
  s = noisy(layer, np.ones((50, 40)))
  assert (np.ptp(s, axis=0) > 0).all() == (field == 'std_jitter')
  if field == 'max_std':
    assert 1 <= s.min() < 1.2
    assert 2.8 < s.max() <= 3
  else:
    np.testing.assert_allclose(s.std(), 2, rtol=0.05)


def test_each_position_of_an_image_has_noise_of_its_own():
  layer = DistributionalNoise(mean_range=0.0, max_std=1.0)
  m = noisy(layer, np.zeros((2, 3, 3, 4), np.float32))
  assert len(np.unique(m)) == m.size


def test_channels_may_lie_along_another_axis():
  fields = {**NONE, 'mean_range': 1.0}
  m = noisy(DistributionalNoise(axis=1, **fields), np.zeros((2, 3, 4)))
  np.testing.assert_array_equal(m, np.broadcast_to(m[:1, :, :1], m.shape))
  assert len(np.unique(m)) == 3


@BOTH
def test_the_key_decides_the_noise(layer):
  layer = layer()
  variables = {}
  if isinstance(layer, NoisyBatchNorm):
    variables = reference.randomized(layer, X)
  y, _ = train(layer, variables, X)
  again, _ = train(layer, variables, X)
  other, _ = train(layer, variables, X, jax.random.fold_in(KEY, 1))
  np.testing.assert_array_equal(y, again)
  assert (y != other).all()
  eager, _ = reference.training(layer, variables, X, rngs={'noise': KEY})
  np.testing.assert_allclose(eager, y, rtol=1e-5, atol=1e-6)


class TwoLayers(nn.Module):
  @nn.compact
  def __call__(self, x):
    return [DistributionalNoise()(x, False) for _ in range(2)]


def test_two_layers_of_a_model_differ_in_their_noise():
  first, second = TwoLayers().apply({}, X, rngs={'noise': KEY})
  assert (first != second).all()


def test_each_layer_of_a_scan_has_noise_of_its_own():
  def step(layer, x, _):
    return layer(x, False), None

  scan = nn.scan(step, split_rngs={'noise': True}, length=2)
  fields = {**NONE, 'mean_range': 1.0}

  class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
      return scan(DistributionalNoise(**fields), x, None)[0]

  zeros = np.zeros((2, 50), np.float32)
  m = Model().apply({}, zeros, rngs={'noise': KEY})
  # Each moves by at most 1: the same noise twice would be even multiples.
  single = noisy(DistributionalNoise(**fields), zeros)
  assert abs(m).max() > 1
  assert not np.allclose(m, 2 * single, atol=0.1)


def test_noisy_batch_norm_is_noise_after_batch_norm():
  # Fields that make s and m the same at all positions, and so visible.
  layer = NoisyBatchNorm(mean_jitter=0.0, std_jitter=0.0)
  variables = reference.randomized(layer, X)
  y, after = train(layer, variables, X)
  normed, desired = reference.train(BatchNorm(), variables, X)
  reference.assert_trees_close(after, desired, rtol=0)
  for channel in range(3):
    s, m = np.polyfit(normed[..., channel].ravel(), y[..., channel].ravel(), 1)
    assert 1 < s < 1.25
    assert abs(m) < 0.5
    np.testing.assert_allclose(
      y[..., channel], s * normed[..., channel] + m, rtol=1e-4, atol=1e-5
    )


def test_a_checkpoint_of_batch_norm_fits():
  noisy_variables, variables = (
    layer.init(jax.random.key(0), X, False)
    for layer in (NoisyBatchNorm(), BatchNorm())
  )
  reference.assert_trees_close(noisy_variables, variables, rtol=0)


def test_noise_of_size_zero_is_batch_norm_exactly():
  layer = NoisyBatchNorm(**NONE)
  variables = reference.randomized(layer, X)
  mask = reference.normal(SHAPE, 1) > -0.8
  y, after = train(layer, variables, X, mask=mask)
  desired, desired_after = reference.train(BatchNorm(), variables, X, mask=mask)
  np.testing.assert_array_equal(y, desired)
  reference.assert_trees_close(after, desired_after, rtol=0)


def test_inference_has_no_noise_and_needs_no_key():
  np.testing.assert_array_equal(DistributionalNoise().apply({}, X, True), X)
  variables = reference.randomized(BatchNorm(), X)
  np.testing.assert_array_equal(
    reference.evaluate(NoisyBatchNorm(), variables, X),
    reference.evaluate(BatchNorm(), variables, X),
  )
  # The constructor's choice counts as the call's does.
  layer = NoisyBatchNorm(use_running_average=True)
  np.testing.assert_array_equal(
    layer.apply(variables, X), BatchNorm(True).apply(variables, X)
  )


def test_training_with_frozen_statistics_has_noise():
  layer = NoisyBatchNorm(frozen=True)
  variables = reference.randomized(layer, X)
  y, _ = train(layer, variables, X)
  assert (y != reference.evaluate(layer, variables, X)).all()


@BOTH
def test_initializing_has_no_noise_and_needs_no_key(layer):
  layer = layer()
  y, variables = layer.init_with_output(jax.random.key(0), X, False)
  desired = X
  if isinstance(layer, NoisyBatchNorm):
    desired = BatchNorm(False).init_with_output(jax.random.key(0), X)[0]
  np.testing.assert_allclose(y, desired, rtol=1e-6)
  assert 'noise' not in variables


@BOTH
@pytest.mark.parametrize('rngs', [{}, {'params': KEY}])
def test_a_missing_key_is_an_error_that_says_what_to_pass(layer, rngs):
  variables = layer().init(jax.random.key(0), X, False)
  match = rf"^{layer.__name__}: no key .*rngs=\{{'noise': key\}}"
  with pytest.raises(ValueError, match=match):
    layer().apply(variables, X, False, rngs=rngs, mutable=['batch_stats'])


def test_neither_training_nor_inference_is_an_error():
  match = '^DistributionalNoise: use_running_average=None must be'
  with pytest.raises(ValueError, match=match):
    DistributionalNoise().apply({}, X, rngs={'noise': KEY})


def test_gradient_is_the_drawn_deviation():
  layer = DistributionalNoise()
  gradient = jax.grad(lambda x: noisy(layer, x).sum())(X)
  s = noisy(layer, np.ones_like(X)) - noisy(layer, np.zeros_like(X))
  np.testing.assert_allclose(gradient, s, rtol=1e-5)


def test_the_same_key_under_vmap_is_the_same_noise():
  stack = np.stack([X, 2 * X])
  layer = DistributionalNoise()
  y = jax.vmap(lambda x: noisy(layer, x))(stack)
  for index in range(2):
    np.testing.assert_allclose(y[index], noisy(layer, stack[index]), rtol=1e-6)
  y = jax.vmap(lambda key: noisy(layer, X, key))(
    jax.random.split(DEFAULT_KEY, 2)
  )
  assert (y[0] != y[1]).all()


@pytest.mark.parametrize('jitter', [0.0, 0.1])
def test_devices_share_the_noise_of_channels_and_not_of_examples(jitter):
  layer = DistributionalNoise(
    axis_name='devices', mean_jitter=jitter, std_jitter=jitter
  )
  parts = np.broadcast_to(X, (2, *SHAPE))
  y = jax.vmap(lambda x: noisy(layer, x, DEFAULT_KEY), axis_name='devices')(
    parts
  )
  if jitter:
    assert (y[0] != y[1]).all()
  else:
    np.testing.assert_array_equal(y[0], y[1])


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16', 'float32'])
def test_noise_is_drawn_in_float32_and_the_result_has_the_inputs_dtype(dtype):
  x = jnp.asarray(X, dtype)
  y = noisy(DistributionalNoise(), x)
  assert y.dtype == dtype
  desired = noisy(DistributionalNoise(), x.astype(jnp.float32))
  np.testing.assert_array_equal(y, desired.astype(dtype))


def test_float16_near_its_range_stays_finite_and_infinity_infinite():
  x = np.full((50, 4), 6e4, np.float16)
  x[0, 0] = np.inf
  y = np.ravel(noisy(DistributionalNoise(), x))
  assert np.isinf(y[0])
  y = y[1:]
  assert np.isfinite(y).all()
  # Some did reach the limit.
  assert y.max() == np.finfo(np.float16).max


def test_an_axis_that_is_not_mapped_is_an_error_that_names_it():
  match = "^DistributionalNoise: axis_name='devices' must be an axis"
  with pytest.raises(ValueError, match=match):
    noisy(DistributionalNoise(axis_name='devices'), X)


@BOTH
@pytest.mark.parametrize(
  'field, value, low',
  [
    ('mean_range', -0.1, 0),
    ('max_std', 0.9, 1),
    ('mean_jitter', float('nan'), 0),
    ('std_jitter', float('inf'), 0),
  ],
)
def test_bad_fields_are_errors_that_name_the_field(layer, field, value, low):
  match = (
    f'^{layer.__name__}: {field}={value} must be finite and at least {low}'
  )
  with pytest.raises(ValueError, match=match):
    layer(**{field: value}).init(jax.random.key(0), X, False)
