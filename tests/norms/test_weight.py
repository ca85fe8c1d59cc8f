import functools

import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given
from hypothesis import strategies as st

from normlab.norms.kernels.weight import WeightNorm

X = reference.normal((2, 5, 3))


class Model(nn.Module):
  """A convolution and a dense layer within the same kind of wrapper."""

  wrapper: type[nn.Module]
  fields: tuple = ()

  @nn.compact
  def __call__(self, x):
    norm = functools.partial(self.wrapper, **dict(self.fields))
    x = norm(nn.Conv(4, (3,), name='conv'), name='norm1')(x)
    return norm(nn.Dense(2, name='dense'), name='norm2')(x)


@functools.partial(jax.jit, static_argnums=0)
def output_and_gradients(model, variables, x):
  def loss(params):
    y = model.apply({'params': params}, x)
    return jnp.sin(y).sum(), y

  return jax.value_and_grad(loss, has_aux=True)(variables['params'])


def dense_kernel(v, scale, **fields):
  """w of a dense layer, as it multiplies a unit matrix."""
  layer = WeightNorm(nn.Dense(v.shape[-1], use_bias=False), **fields)
  params = {'layer_instance': {'kernel': v}}
  if scale is not None:
    params['layer_instance/kernel/scale'] = scale
  return layer.apply({'params': params}, np.eye(v.shape[0], dtype=v.dtype))


@pytest.mark.parametrize(
  'fields',
  [
    (),
    (('use_scale', False),),
    (('feature_axes', None),),
    (('feature_axes', (-2, -1)), ('epsilon', 0.5)),
    (('variable_filter', None),),
    (('variable_filter', ('dense', 'conv/b')),),
  ],
)
def test_variables_outputs_and_gradients_are_flax(fields):
  model, oracle = Model(WeightNorm, fields), Model(nn.WeightNorm, fields)
  variables = reference.drawn(model, X)
  shapes = jax.eval_shape(oracle.init, jax.random.key(0), X)
  assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, shapes)
  (_, y), gradients = output_and_gradients(model, variables, X)
  (_, desired), desired_gradients = output_and_gradients(oracle, variables, X)
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-6)
  reference.assert_trees_close(
    gradients, desired_gradients, rtol=1e-4, atol=1e-5
  )


@pytest.mark.parametrize('kind', ['dense', 'conv'])
def test_equals_torch(kind):
  torch = pytest.importorskip('torch')
  parametrized = torch.nn.utils.parametrizations.weight_norm
  x = reference.normal((2, 5, 3))
  g, bias = reference.normal((2, 4), seed=1)
  if kind == 'dense':
    layer, other = nn.Dense(4), parametrized(torch.nn.Linear(3, 4))
    kernel, order = reference.normal((3, 4), seed=2), (1, 0)
    x_torch, back = torch.tensor(x), (0, 1, 2)
  else:
    layer, other = nn.Conv(4, (3,)), torch.nn.Conv1d(3, 4, 3, padding=1)
    other = parametrized(other)
    kernel, order = reference.normal((3, 3, 4), seed=2), (2, 1, 0)
    x_torch, back = torch.tensor(x).permute(0, 2, 1), (0, 2, 1)
  params = {
    'layer_instance': {'kernel': kernel, 'bias': bias},
    'layer_instance/kernel/scale': g,
  }
  weights = other.parametrizations.weight
  with torch.no_grad():
    weights.original0.copy_(torch.tensor(g).reshape(weights.original0.shape))
    weights.original1.copy_(torch.tensor(kernel.transpose(order)))
    other.bias.copy_(torch.tensor(bias))
  y_torch = other(x_torch)
  torch.sin(y_torch).sum().backward()
  (_, y), gradients = output_and_gradients(
    WeightNorm(layer), {'params': params}, x
  )
  np.testing.assert_allclose(
    y, y_torch.detach().numpy().transpose(back), rtol=1e-4, atol=1e-5
  )
  np.testing.assert_allclose(
    gradients['layer_instance/kernel/scale'],
    weights.original0.grad.flatten(),
    rtol=1e-3,
    atol=1e-4,
  )
  np.testing.assert_allclose(
    gradients['layer_instance']['kernel'].transpose(order),
    weights.original1.grad,
    rtol=1e-3,
    atol=1e-4,
  )


@reference.FEW
@given(seed=st.integers(0, 99), exponent=st.integers(-4, 10))
def test_length_is_the_scale_and_direction_that_of_the_kernel(seed, exponent):
  v = reference.normal((3, 4), seed) * np.float32(10.0**exponent)
  g = reference.normal((4,), seed + 1)
  w = np.asarray(dense_kernel(v, g), np.float64)
  v = v.astype(np.float64)
  desired = g * v / np.linalg.norm(v, axis=0)
  np.testing.assert_allclose(w, desired, rtol=1e-4, atol=1e-6)


@functools.partial(jax.jit, static_argnums=3)
def kernel_gradients(v, g, cotangent, epsilon=1e-12):
  def loss(v, g):
    return (dense_kernel(v, g, epsilon=epsilon) * cotangent).sum()

  return jax.grad(loss, (0, 1))(v, g)


def test_gradients_are_equation_3():
  v, d_w = reference.normal((2, 3, 4))
  g = reference.normal((4,), seed=1)
  d_v, d_g = kernel_gradients(v, g, d_w)
  v, d_w, g = (np.asarray(a, np.float64) for a in (v, d_w, g))
  length = np.linalg.norm(v, axis=0)
  desired_d_g = (d_w * v).sum(0) / length
  desired_d_v = g / length * d_w - g * desired_d_g / length**2 * v
  np.testing.assert_allclose(d_g, desired_d_g, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(d_v, desired_d_v, rtol=1e-4, atol=1e-5)


@reference.FEW
@given(seed=st.integers(0, 99))
def test_gradient_of_the_direction_is_orthogonal_to_it(seed):
  v, d_w = reference.normal((2, 3, 4), seed)
  g = np.ones(4, np.float32)
  d_v, _ = kernel_gradients(v, g, d_w)
  np.testing.assert_allclose((d_v * v).sum(0), 0, atol=1e-5)


def test_axes_of_a_transposed_convolution_are_its_outputs():
  layer = WeightNorm(
    nn.ConvTranspose(4, (3,), transpose_kernel=True), feature_axes=-2
  )
  params = layer.init(jax.random.key(0), X)['params']
  assert params['layer_instance/kernel/scale'].shape == (4,)


def test_equal_layers_are_one_argument_to_jit():
  one, other = WeightNorm(nn.Dense(2)), WeightNorm(nn.Dense(2))
  assert hash(one) == hash(other)
  assert one == other


def test_a_filter_that_nothing_passes_is_a_value_error():
  layer = WeightNorm(nn.Dense(2), variable_filter={'kernal'})
  pattern = r"must have a parameter with one of \['kernal'\] in its path"
  with pytest.raises(ValueError, match=pattern):
    layer.init(jax.random.key(0), X)


def test_a_string_as_filter_is_a_value_error():
  layer = WeightNorm(nn.Dense(2), variable_filter='kernel')
  pattern = "^WeightNorm: variable_filter='kernel' must be a collection"
  with pytest.raises(ValueError, match=pattern):
    layer.init(jax.random.key(0), X)


def test_an_axis_that_the_kernel_lacks_is_a_value_error():
  layer = WeightNorm(nn.Dense(2), feature_axes=2)
  with pytest.raises(ValueError, match='^WeightNorm: feature_axes=2'):
    layer.init(jax.random.key(0), X)
