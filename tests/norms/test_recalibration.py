import functools

import flax
import hypothesis
import jax
import norms_reference as reference
import numpy as np
import pytest
import trained_models
from flax import linen as nn
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from normlab import norms
from normlab.norms.trained.recalibration import (
  has_running_statistics,
  recalibrate,
)

IMAGES = trained_models.IMAGES
SHAPE = (9, 2, 3)
AXES = (0, 1)
X = reference.normal(SHAPE, mean=2, std=3)
X[4:] += 2
MASK = reference.normal(SHAPE, 1) > -0.8
# Of unequal sizes, and with unequal means.
BATCHES = [X[:4], X[4:5], X[5:]]


def chain(*layers):
  model = trained_models.Chain(layers)
  return model, trained_models.randomized(model, X)


def assert_statistics(stats, x, mask=None):
  mean, var, _ = reference.moments(x, AXES, mask)
  for name, desired in (('mean', mean), ('var', var)):
    np.testing.assert_allclose(
      stats[name], desired.squeeze(AXES), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
  'name, norm',
  [
    *((name, 'batch') for name in trained_models.FIELDS),
    ('cnn', 'batch_renorm'),
  ],
)
def test_inference_on_all_data_is_training_on_it_as_one_batch(name, norm):
  # The dropout has no random key, and must not be there.
  model = trained_models.build(name, norm=norms.build(name=norm), dropout=0.5)
  variables = trained_models.randomized(model, IMAGES, train=False)
  # Each size of a batch compiles: unequal ones for one model only.
  x = IMAGES if name == 'cnn' else IMAGES[:6]
  new = recalibrate(model, variables, [x[:3], x[3:]])
  desired = trained_models.train(model, variables, x)
  y = trained_models.infer(model, new, x)
  tolerance = 1e-4 * abs(desired).max()
  np.testing.assert_allclose(y, desired, rtol=0, atol=tolerance)
  before = trained_models.infer(model, variables, x)
  assert abs(before - desired).max() > 100 * tolerance


@pytest.mark.parametrize('layer', [norms.BatchNorm(), nn.BatchNorm()])
def test_statistics_of_unequal_batches_are_those_of_all_values(layer):
  variables = trained_models.randomized(layer, X, use_running_average=True)
  new = recalibrate(layer, variables, BATCHES)
  assert_statistics(new['batch_stats'], X)


# Few sizes, as each compiles.
@reference.FEW
@hypothesis.given(st.sets(st.sampled_from([3, 6])), st.integers(0, 99))
def test_any_division_into_batches_gives_the_same_statistics(borders, seed):
  model, variables = chain(norms.BatchNorm())
  x = reference.normal(SHAPE, seed, mean=seed)
  new = recalibrate(model, variables, np.split(x, sorted(borders)))
  assert_statistics(new['batch_stats']['norms_0'], x)


def test_a_long_pass_over_many_devices_ends():
  # XLA of JAX 0.10 ends the process where 33 programs are in flight.
  mesh = jax.make_mesh((8,), ('batch',), (AxisType.Auto,))
  x = reference.normal((64, 32, 32, 16))
  divided = jax.device_put(x, NamedSharding(mesh, PartitionSpec('batch')))
  model = trained_models.Chain((norms.BatchNorm(),))
  variables = trained_models.randomized(model, x)
  new = recalibrate(model, variables, [divided] * 100)
  mean = x.mean((0, 1, 2))
  np.testing.assert_allclose(
    new['batch_stats']['norms_0']['mean'], mean, rtol=0, atol=1e-5
  )


def test_masked_values_do_not_count_even_if_they_are_nan():
  model, variables = chain(norms.BatchNorm())
  x = np.where(MASK, X, np.nan)
  batches = [(x[:4], MASK[:4]), (x[4:], MASK[4:])]
  new = recalibrate(model, variables, batches)
  assert_statistics(new['batch_stats']['norms_0'], X, MASK)


def test_a_channel_that_is_all_masked_keeps_its_statistics():
  model, variables = chain(norms.BatchNorm())
  mask = np.array([True, True, False])
  x = np.where(mask, X, np.nan)
  new = recalibrate(model, variables, [(x[:4], mask), (x[4:], mask)])
  stats, old = (v['batch_stats']['norms_0'] for v in (new, variables))
  for name in ('mean', 'var'):
    assert stats[name][2] == old[name][2]
    assert (stats[name][:2] != old[name][:2]).all()


def test_digits_survive_a_large_mean():
  model, variables = chain(norms.BatchNorm())
  x = reference.normal(SHAPE, mean=1e4)
  new = recalibrate(model, variables, [x[:4], x[4:]])
  y = model.apply(new, x)
  scale = abs(variables['params']['norms_0']['scale'])
  np.testing.assert_allclose(y.std(AXES), scale, rtol=1e-2)


def second_input(params):
  """What the second of two layers sees after the first, in float64."""
  first = params['norms_0']
  x_hat = reference.standardized(X, AXES, epsilon=0.1)
  return np.tanh(x_hat * first['scale'] + first['bias'])


def test_the_second_layer_sees_what_the_first_normalized():
  model, variables = chain(*(norms.BatchNorm(epsilon=0.1) for _ in range(2)))
  new = recalibrate(model, variables, BATCHES)
  inner = second_input(variables['params'])
  assert_statistics(new['batch_stats']['norms_0'], X)
  assert_statistics(new['batch_stats']['norms_1'], inner)


SINGLE = {
  'mean_only': norms.MeanOnlyBatchNorm(),
  'lp': norms.LpBatchNorm(p=1),
  'literal': norms.LpBatchNorm(p=3, convention='literal'),
  'evonorm_b0': norms.EvoNormB0(),
  'switchable': norms.SwitchableNorm(),
  'renorm': norms.BatchRenorm(),
  'mapped': norms.BatchNorm(axis_name='devices'),
  'debias': norms.BatchNorm(debias=True),
  'flax': nn.BatchNorm(),
}


@pytest.mark.parametrize('name', SINGLE)
def test_every_norm_infers_on_a_single_batch_what_it_trains(name):
  layer = SINGLE[name]
  variables = trained_models.randomized(layer, X, use_running_average=True)
  new = recalibrate(layer, variables, [X])
  y = reference.evaluate(layer, new, X)
  trained = layer.clone(axis_name=None)
  desired, _ = reference.train(trained, variables, X)
  np.testing.assert_allclose(y, desired, rtol=1e-4, atol=1e-5)
  old = reference.evaluate(layer, variables, X)
  assert abs(old - desired).max() > 0.01
  for kept in {'step', 'updates'} & set(variables['batch_stats']):
    np.testing.assert_array_equal(new['batch_stats'][kept], 7)


def test_squared_deviations_pool_as_variances():
  layer = norms.LpBatchNorm(p=2)
  variables = trained_models.randomized(layer, X, use_running_average=True)
  stats = recalibrate(layer, variables, BATCHES)['batch_stats']
  assert_statistics({**stats, 'var': stats['deviation'] ** 2}, X)


@pytest.mark.parametrize(
  'fields',
  [
    {'unbiased': True},
    {'ghost_batch_size': 3},
    {'use_running_average': True},
    {'use_running_average': False},
    {'momentum': None},
  ],
)
def test_no_field_changes_what_the_statistics_are(fields):
  layer = norms.BatchNorm(**fields)
  initialized = layer.clone(use_running_average=True)
  variables = trained_models.randomized(initialized, X)
  new = recalibrate(layer, variables, BATCHES)
  assert_statistics(new['batch_stats'], X)


def test_noise_is_not_in_the_statistics():
  model, variables = chain(norms.NoisyBatchNorm(), norms.BatchNorm())
  new = recalibrate(model, variables, [X])
  plain, _ = chain(norms.BatchNorm(), norms.BatchNorm())
  desired = recalibrate(plain, variables, [X])
  reference.assert_trees_close(new, desired, rtol=1e-6)


def test_frozen_norms_keep_their_statistics():
  model, variables = chain(norms.BatchNorm(frozen=True), norms.BatchNorm())
  new = recalibrate(model, variables, BATCHES)
  old = variables['batch_stats']['norms_0']
  assert new['batch_stats']['norms_0']['mean'] is old['mean']
  first, _ = chain(norms.BatchNorm())
  assert_statistics(
    new['batch_stats']['norms_1'], np.tanh(first.apply(variables, X))
  )


def test_a_shared_norm_pools_over_its_calls():
  layer = norms.BatchNorm(epsilon=0.1)
  model, variables = chain(layer, layer)
  assert set(variables['batch_stats']) == {'norms_0'}
  new = recalibrate(model, variables, [X])
  inner = second_input(variables['params'])
  assert_statistics(new['batch_stats']['norms_0'], np.concatenate([X, inner]))


class Layer(nn.Module):
  @nn.compact
  def __call__(self, x, _):
    return np.tanh(1) * norms.BatchNorm(name='norm')(x @ self.mix(), True), None

  def mix(self):
    return self.param('mix', nn.initializers.normal(), (3, 3))


class Scanned(nn.Module):
  @nn.compact
  def __call__(self, x):
    scan = nn.scan(
      nn.remat(Layer),
      variable_axes={'params': 0, 'batch_stats': 0},
      split_rngs={'params': True},
      length=3,
    )
    return scan(name='layers')(x, None)[0]


class Unrolled(nn.Module):
  @nn.compact
  def __call__(self, x):
    for i in range(3):
      x, _ = Layer(name=f'layer{i}')(x, None)
    return x


def test_scanned_layers_get_what_unrolled_ones_get():
  variables = trained_models.randomized(Scanned(), X)
  unrolled = {
    kind: {
      f'layer{i}': jax.tree.map(lambda v, i=i: v[i], tree['layers'])
      for i in range(3)
    }
    for kind, tree in variables.items()
  }
  new = recalibrate(Scanned(), variables, [X[:4], X[4:]])
  assert new['batch_stats']['layers']['norm'].keys() == {'mean', 'var'}
  desired = recalibrate(Unrolled(), unrolled, [X[:4], X[4:]])
  for name, value in new['batch_stats']['layers']['norm'].items():
    for i in range(3):
      np.testing.assert_allclose(
        value[i],
        desired['batch_stats'][f'layer{i}']['norm'][name],
        rtol=1e-4,
        atol=1e-6,
      )


def test_the_input_is_not_changed_and_all_else_is_kept():
  model, variables = chain(norms.BatchNorm())
  variables = {**variables, 'cache': {'a': np.ones(2)}}
  before = jax.tree.map(np.array, variables)
  new = recalibrate(model, flax.core.freeze(variables), [X])
  recalibrate(model, variables, [X])
  reference.assert_trees_close(variables, before, rtol=0)
  for kind in ('params', 'cache'):
    reference.assert_trees_close(new[kind], before[kind], rtol=0)


def test_batches_may_be_an_iterator_and_a_model_may_have_lists():
  class Listed(nn.Module):
    sizes: list

    @nn.compact
    def __call__(self, x, *, train=True):
      for size in self.sizes:
        x = norms.BatchNorm(name=f'norm{size}')(x, not train)
      return x

  model = Listed([1, 2])
  variables = trained_models.randomized(model, X)
  # If the second pass over the iterator saw nothing, that would be an error.
  new = recalibrate(model, variables, iter(BATCHES))
  assert_statistics(new['batch_stats']['norm1'], X)
  y = model.apply(new, X, train=False)
  params = variables['params']['norm2']
  np.testing.assert_allclose(y.mean(AXES), params['bias'], rtol=0, atol=1e-5)


def test_equal_models_share_one_program():
  model, variables = chain(norms.BatchNorm())
  recalibrate(model, variables, [X])
  with jax.no_tracing():
    recalibrate(model.clone(), variables, [X])


@pytest.mark.parametrize(
  ('layer', 'batches', 'problem'),
  [
    (norms.BatchNorm(), [], 'batches holds no batch'),
    (norms.LayerNorm(), [X], 'no running statistics of a norm of Chain'),
    (norms.BatchNorm(frozen=True), [X], 'no running statistics of a norm'),
    (norms.BatchNorm(), [(X, False)], "norm 'norms_0' has not seen a value"),
    (norms.BatchNorm(), [X[:0]], 'BatchNorm: the input has shape'),
  ],
)
def test_nothing_to_recalibrate_is_an_error(layer, batches, problem):
  model, variables = chain(layer)
  with pytest.raises(ValueError, match=problem):
    recalibrate(model, variables, batches)


@pytest.mark.parametrize(
  ('layer', 'expected'),
  [
    (norms.BatchNorm(), True),
    (nn.BatchNorm(), True),
    (norms.MeanOnlyBatchNorm(), True),
    (norms.BatchNorm(frozen=True), False),
    (norms.LayerNorm(), False),
  ],
)
def test_it_is_known_without_computing_whether_there_are_statistics(
  layer, expected
):
  shapes = jax.eval_shape(
    functools.partial(layer.init, use_running_average=True),
    jax.random.key(0),
    X,
  )
  found = has_running_statistics(layer, shapes, X, use_running_average=True)
  assert found is expected
