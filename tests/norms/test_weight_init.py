import functools

import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from flax import linen as nn

from normlab.norms.kernels.weight import WeightNorm, initialize_from_data

IMAGES = reference.normal((6, 4, 4, 3), mean=2, std=3)


class Network(nn.Module):
  """Two convolutions, batch norm and two dense layers; gives all outputs."""

  use_bias: bool = True

  @nn.compact
  def __call__(self, x, train=False):
    outputs = []

    def normalized(layer, x):
      outputs.append(WeightNorm(layer)(x))
      return nn.relu(outputs[-1])

    x = normalized(nn.Conv(4, (3, 3), use_bias=self.use_bias), x)
    x = nn.BatchNorm(use_running_average=not train)(x)
    x = normalized(nn.Conv(5, (3, 3), strides=2, use_bias=self.use_bias), x)
    x = nn.Dense(6)(x.reshape(x.shape[0], -1))
    x = normalized(nn.Dense(3, use_bias=self.use_bias), x)
    normalized(nn.Dense(2, use_bias=self.use_bias), x)
    return outputs


@functools.cache
def ready(use_bias=True):
  model = Network(use_bias)
  variables = jax.jit(model.init)(jax.random.key(0), IMAGES)
  return model, variables, initialize_from_data(model, variables, IMAGES)


@functools.partial(jax.jit, static_argnums=0)
def outputs_of(model, variables):
  return model.apply(variables, IMAGES)


@pytest.mark.parametrize('use_bias', [True, False])
def test_pre_activations_have_mean_0_and_deviation_1(use_bias):
  model, variables, initialized = ready(use_bias)
  before = outputs_of(model, variables)
  outputs = outputs_of(model, initialized)
  assert len(outputs) == 4
  for y, other in zip(outputs, before, strict=True):
    axes = tuple(range(y.ndim - 1))
    np.testing.assert_allclose(np.std(y, axes), 1, rtol=1e-3)
    assert abs(np.std(other, axes) - 1).max() > 0.1
    if use_bias:
      np.testing.assert_allclose(np.mean(y, axes), 0, atol=1e-3)


def test_values_are_those_of_equation_6():
  layer = WeightNorm(nn.Dense(4))
  x = reference.normal((8, 3), mean=1)
  variables = layer.init(jax.random.key(0), x)
  # Neither at their initial values: what they are does not matter.
  params = jax.tree.map(lambda leaf: leaf - 0.3, variables['params'])
  after = initialize_from_data(layer, {'params': params}, x)['params']
  v = np.asarray(params['layer_instance']['kernel'], np.float64)
  t = x @ (v / np.linalg.norm(v, axis=0))
  scale = after['layer_instance/kernel/scale']
  np.testing.assert_allclose(scale, 1 / t.std(0), rtol=1e-5)
  np.testing.assert_allclose(
    after['layer_instance']['bias'], -t.mean(0) / t.std(0), rtol=1e-4
  )


def test_all_else_stays_as_it_is():
  model, variables, _ = ready()
  copy = jax.tree.map(np.array, variables)
  initialized = initialize_from_data(model, variables, IMAGES, train=True)
  reference.assert_trees_close(variables, copy, rtol=0)
  reference.assert_trees_close(
    initialized['batch_stats'], copy['batch_stats'], rtol=0
  )
  assert jax.tree.structure(initialized) == jax.tree.structure(variables)
  changed = {
    jax.tree_util.keystr(path, simple=True, separator='.')
    for (path, new), old in zip(
      jax.tree_util.tree_leaves_with_path(initialized),
      jax.tree.leaves(variables),
      strict=True,
    )
    if (new != old).any()
  }
  assert changed == {
    f'params.{path}'
    for i, layer in enumerate(['Conv_0', 'Conv_1', 'Dense_1', 'Dense_2'])
    for path in (f'WeightNorm_{i}.{layer}/kernel/scale', f'{layer}.bias')
  }


def test_it_may_be_compiled():
  model, variables, desired = ready()
  compiled = jax.jit(functools.partial(initialize_from_data, model))
  reference.assert_trees_close(
    compiled(variables, IMAGES), desired, rtol=1e-3, atol=1e-4
  )


class Shared(nn.Module):
  calls: int

  @nn.compact
  def __call__(self, x):
    norm = WeightNorm(nn.Dense(3, name='dense'), name='norm')
    for _ in range(self.calls):
      x = nn.relu(norm(x))
    return x


def test_a_shared_layer_is_initialized_at_its_first_call():
  x = reference.normal((8, 3), mean=1)
  variables = Shared(1).init(jax.random.key(0), x)
  twice, once = (
    initialize_from_data(Shared(calls), variables, x) for calls in (2, 1)
  )
  reference.assert_trees_close(twice, once, rtol=0)


def test_stacked_layers_are_each_initialized():
  class Layer(nn.Module):
    @nn.compact
    def __call__(self, x, _):
      y = WeightNorm(nn.Dense(3, name='dense'), name='norm')(x)
      return nn.relu(y), y

  stacked = nn.scan(
    nn.remat(Layer),
    variable_axes={'params': 0},
    split_rngs={'params': True},
    length=3,
  )()
  x = reference.normal((8, 3))
  variables = stacked.init(jax.random.key(0), x, None)
  initialized = initialize_from_data(stacked, variables, x, None)
  _, outputs = stacked.apply(initialized, x, None)
  np.testing.assert_allclose(np.mean(outputs, 1), 0, atol=1e-3)
  np.testing.assert_allclose(np.std(outputs, 1), 1, rtol=1e-3)


def test_a_constant_pre_activation_has_a_finite_scale():
  layer = WeightNorm(nn.Dense(4))
  x = np.ones((8, 3), np.float32)
  variables = layer.init(jax.random.key(0), x)
  initialized = initialize_from_data(layer, variables, x)
  scale = initialized['params']['layer_instance/kernel/scale']
  np.testing.assert_allclose(scale, 1e4, rtol=1e-3)
  assert np.isfinite(layer.apply(initialized, x)).all()


def test_half_precision_has_float32_statistics():
  # In bfloat16 a variance around a mean of 100 would be of rounded values.
  layer = WeightNorm(nn.Dense(4, dtype='bfloat16'))
  x = jnp.asarray(reference.normal((64, 3), std=20, mean=100), 'bfloat16')
  variables = layer.init(jax.random.key(0), x)
  initialized = initialize_from_data(layer, variables, x)
  y = layer.apply(initialized, x).astype(jnp.float32)
  np.testing.assert_allclose(np.std(y, 0), 1, rtol=0.02)
  assert initialized['params']['layer_instance']['bias'].dtype == jnp.float32


@pytest.mark.parametrize(
  'layer, fields',
  [
    (nn.DenseGeneral((2, 4)), {'feature_axes': (-2, -1)}),
    (nn.DenseGeneral((2, 4)), {}),
    (nn.Dense(4), {'feature_axes': None}),
    (
      nn.ConvTranspose(4, (3,), transpose_kernel=True),
      {'feature_axes': -2},
    ),
  ],
)
def test_moments_are_those_of_what_shares_a_scale(layer, fields):
  x = reference.normal((4, 5, 3), mean=1)
  layer = WeightNorm(layer, **fields)
  variables = layer.init(jax.random.key(0), x)
  initialized = initialize_from_data(layer, variables, x)
  y = layer.apply(initialized, x)
  scale = initialized['params']['layer_instance/kernel/scale']
  axes = tuple(range(y.ndim - scale.ndim))
  np.testing.assert_allclose(np.mean(y, axes), 0, atol=1e-3)
  np.testing.assert_allclose(np.std(y, axes), 1, rtol=1e-3)


def test_boxes_around_parameters_stay():
  kernel_init = nn.with_partitioning(nn.initializers.normal(), ('in', 'out'))
  bias_init = nn.with_partitioning(nn.initializers.zeros, ('out',))
  x = reference.normal((8, 3), mean=1)
  boxed = WeightNorm(nn.Dense(4, kernel_init=kernel_init, bias_init=bias_init))
  variables = boxed.init(jax.random.key(0), x)
  initialized = initialize_from_data(boxed, variables, x)
  assert jax.tree.structure(initialized) == jax.tree.structure(variables)
  np.testing.assert_allclose(
    np.std(boxed.apply(initialized, x), 0), 1, rtol=1e-3
  )


@pytest.mark.parametrize(
  'model, pattern',
  [
    (nn.Dense(2), r'model=Dense\(\) must call a WeightNorm'),
    (
      WeightNorm(nn.Dense(2), use_scale=False),
      r"must have one scale, '.*/kernel/scale'; it has \[\]",
    ),
    (
      WeightNorm(nn.Dense(2), variable_filter=None),
      "must have one scale.* it has .*'layer_instance/bias/scale'",
    ),
    (
      WeightNorm(nn.Dense(2), feature_axes=0),
      r'outputs of shape \[..., 3\].* have shape \(4, 2\)',
    ),
  ],
)
def test_what_cannot_be_initialized_is_a_value_error(model, pattern):
  x = reference.normal((4, 3))
  variables = model.init(jax.random.key(0), x)
  with pytest.raises(ValueError, match=f'^initialize_from_data: .*{pattern}'):
    initialize_from_data(model, variables, x)


def test_a_batch_without_examples_is_a_value_error():
  model = WeightNorm(nn.Dense(2))
  variables = model.init(jax.random.key(0), np.ones((1, 3), np.float32))
  with pytest.raises(ValueError, match=r'they have shape \(0, 2\)'):
    initialize_from_data(model, variables, np.ones((0, 3), np.float32))
