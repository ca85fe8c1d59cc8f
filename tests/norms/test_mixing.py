import functools

import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
import trained_models
from flax import linen as nn

from normlab import norms
from normlab.norms.trained.mixing import apply_with_mixed_statistics

X = trained_models.IMAGES
SHAPE = (6, 2, 3)
VALUES = reference.normal(SHAPE, mean=2, std=3)
AXES = (0, 1)
MASK = reference.normal(SHAPE, 1) > -0.8


@functools.partial(jax.jit, static_argnums=0)
def mixed(model, variables, *args, **kwargs):
  return apply_with_mixed_statistics(model, variables, *args, **kwargs)


def chain(*layers):
  model = trained_models.Chain(layers)
  return model, trained_models.randomized(model, VALUES)


@pytest.fixture(scope='module', params=['batch', 'batch_renorm'])
def trained(request):
  norm = norms.build(name=request.param)
  model = trained_models.build('cnn', norm=norm, dropout=0.5)
  return model, trained_models.randomized(model, X, train=False)


def test_no_source_examples_give_the_statistics_of_the_batch(trained):
  y = mixed(*trained, X, source_count=0.0)
  np.testing.assert_allclose(
    y, trained_models.train(*trained, X), rtol=1e-5, atol=1e-5
  )


def test_infinitely_many_give_the_running_statistics(trained):
  y = mixed(*trained, X, source_count=float('inf'))
  np.testing.assert_allclose(
    y, trained_models.infer(*trained, X), rtol=1e-5, atol=1e-5
  )


def mixture(stats, x, share, mask=None):
  """Of running and batch mean and variance, in float64."""
  mean, var, _ = reference.moments(x, AXES, mask)
  return (
    (1 - share) * np.float64(stats['mean']) + share * mean,
    (1 - share) * np.float64(stats['var']) + share * var,
  )


def normalized(x, params, mean, var, epsilon):
  return (x - mean) / np.sqrt(var + epsilon) * params['scale'] + params['bias']


@pytest.mark.parametrize('mask', [None, MASK], ids=['all', 'masked'])
def test_two_layers_equal_the_float64_reference(mask):
  layer = norms.BatchNorm(epsilon=0.1)
  model, variables = chain(layer, layer.clone())
  desired = np.float64(VALUES)
  for name in ('norms_0', 'norms_1'):
    desired = np.tanh(desired) if name == 'norms_1' else desired
    mean, var = mixture(
      variables['batch_stats'][name], desired, 6 / (6 + 16), mask
    )
    desired = normalized(desired, variables['params'][name], mean, var, 0.1)
  x = VALUES if mask is None else np.where(mask, VALUES, np.nan)
  y = mixed(model, variables, x, mask, source_count=16.0)
  valid = slice(None) if mask is None else mask
  np.testing.assert_allclose(y[valid], desired[valid], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  'layer',
  [
    norms.BatchRenorm(epsilon=0.1),
    norms.LpBatchNorm(epsilon=0.1, p=2),
    norms.NoisyBatchNorm(epsilon=0.1),
    norms.BatchNorm(epsilon=0.1, ghost_batch_size=2, unbiased=True),
    norms.BatchNorm(True, epsilon=0.1),
    norms.BatchNorm(False, epsilon=0.1),
    norms.BatchNorm(epsilon=0.1, axis_name='devices'),
    nn.BatchNorm(epsilon=0.1),
  ],
  ids=lambda layer: type(layer).__name__,
)
def test_every_kind_mixes_its_mean_and_variance(layer):
  variables = trained_models.randomized(
    layer.clone(use_running_average=True), VALUES
  )
  stats = dict(variables['batch_stats'])
  if 'std' in stats:
    stats['var'] = stats['std'] ** 2 - 0.1
  if 'deviation' in stats:
    stats['var'] = stats['deviation'] ** 2
  mean, var = mixture(stats, VALUES, 6 / (6 + 2))
  y = mixed(layer, variables, VALUES, source_count=2.0)
  desired = normalized(VALUES, variables['params'], mean, var, 0.1)
  np.testing.assert_allclose(y, desired, rtol=1e-4, atol=1e-5)


def test_means_mix_where_there_is_no_variance():
  layer = norms.MeanOnlyBatchNorm()
  model, variables = chain(layer)
  y = mixed(model, variables, VALUES, source_count=2.0)
  stats = variables['batch_stats']['norms_0']
  mean, _ = mixture({**stats, 'var': 1.0}, VALUES, 6 / (6 + 2))
  desired = VALUES - mean + variables['params']['norms_0']['bias']
  np.testing.assert_allclose(y, desired, rtol=1e-4, atol=1e-5)


def test_a_frozen_norm_keeps_its_statistics():
  model, variables = chain(norms.BatchNorm(frozen=True), norms.BatchNorm())
  first, _ = chain(norms.BatchNorm())
  y = mixed(model, variables, VALUES, source_count=0.0)
  inner = first.apply(variables, VALUES)
  second = norms.BatchNorm()
  own = {k: v['norms_1'] for k, v in variables.items()}
  desired, _ = reference.train(second, own, np.tanh(inner))
  np.testing.assert_allclose(y, desired, rtol=1e-4, atol=1e-5)


def test_a_channel_that_is_all_masked_takes_its_running_statistics():
  model, variables = chain(norms.BatchNorm())
  mask = np.array([True, False, True])
  x = np.where(mask, VALUES, np.nan)
  y = mixed(model, variables, x, mask, source_count=1.0)
  assert np.isfinite(y).all()
  zeros = np.zeros(SHAPE, np.float32)
  desired = model.apply(variables, zeros)[..., 1]
  np.testing.assert_allclose(y[..., 1], desired, rtol=1e-5, atol=1e-6)


def test_devices_count_all_their_examples():
  model, variables = chain(norms.BatchNorm(axis_name='devices'))
  y = jax.vmap(
    lambda x: mixed(model, variables, x, source_count=5.0), axis_name='devices'
  )(VALUES.reshape(2, 3, 2, 3))
  desired = mixed(model, variables, VALUES, source_count=5.0)
  np.testing.assert_allclose(y.reshape(SHAPE), desired, rtol=1e-5, atol=1e-5)


def test_a_count_of_examples_can_be_given():
  model, variables = chain(norms.BatchNorm())
  y = mixed(model, variables, VALUES, source_count=8.0, target_count=3.0)
  desired = mixed(model, variables, VALUES, source_count=16.0)
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-6)


def test_the_variables_are_not_changed():
  model, variables = chain(norms.BatchNorm())
  before = jax.tree.map(np.array, variables)
  apply_with_mixed_statistics(model, variables, VALUES, source_count=1)
  reference.assert_trees_close(variables, before, rtol=0)


def test_gradients_reach_the_input():
  model, variables = chain(norms.BatchNorm(), norms.BatchNorm())
  gradient = jax.grad(
    lambda x: (mixed(model, variables, x, source_count=1.0) ** 2).sum()
  )(jnp.asarray(VALUES))
  assert np.isfinite(gradient).all()
  assert abs(gradient).max() > 0.01


@pytest.mark.parametrize(
  'counts',
  [
    {'source_count': -1},
    {'source_count': float('nan')},
    {'source_count': 1, 'target_count': 0},
  ],
)
def test_bad_counts_are_errors_that_name_the_argument(counts):
  model, variables = chain(norms.BatchNorm())
  name, value = list(counts.items())[-1]
  with pytest.raises(ValueError, match=f'{name}={value} must be'):
    apply_with_mixed_statistics(model, variables, VALUES, **counts)


def test_a_model_without_running_statistics_is_an_error():
  with pytest.raises(ValueError, match='no norm of LayerNorm'):
    apply_with_mixed_statistics(
      norms.LayerNorm(use_scale=False, use_bias=False),
      {},
      VALUES,
      source_count=1,
    )
