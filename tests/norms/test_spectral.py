import functools

import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given
from hypothesis import strategies as st

from normlab.norms.kernels.spectral import SpectralNorm, largest_singular_value

X = reference.normal((2, 5, 3))
KERNEL = reference.normal((3, 4), seed=1)


class Model(nn.Module):
  """A convolution and a dense layer within the same kind of wrapper."""

  wrapper: type[nn.Module]
  fields: tuple = ()

  @nn.compact
  def __call__(self, x, update_stats):
    norm = functools.partial(self.wrapper, **dict(self.fields))
    conv = nn.Conv(4, (3,), name='conv')
    x = norm(conv, name='norm1')(x, update_stats=update_stats)
    dense = nn.Dense(2, name='dense')
    return norm(dense, name='norm2')(x, update_stats=update_stats)


@functools.partial(jax.jit, static_argnums=(0, 3))
def step(model, variables, x, update_stats):
  def loss(params):
    y, state = model.apply(
      {**variables, 'params': params}, x, update_stats, mutable=['batch_stats']
    )
    return jnp.sin(y).sum(), (y, state)

  gradients, (y, state) = jax.grad(loss, has_aux=True)(variables['params'])
  return y, state, gradients


def dense(**fields):
  return SpectralNorm(nn.Dense(4, use_bias=False), **fields)


@functools.partial(jax.jit, static_argnums=(0, 3))
def normalized(layer, kernel, u, update_stats=True):
  """The kernel of a dense layer after a call, and its new state."""
  state = {'layer_instance/kernel/u': u, 'layer_instance/kernel/sigma': 1.0}
  variables = {
    'params': {'layer_instance': {'kernel': kernel}},
    'batch_stats': jax.tree.map(jnp.float32, state),
  }
  w, after = layer.apply(
    variables, jnp.eye(3), update_stats=update_stats, mutable=['batch_stats']
  )
  state = after['batch_stats']
  return (
    w,
    state['layer_instance/kernel/u'],
    state['layer_instance/kernel/sigma'],
  )


U = reference.normal((1, 4), seed=2)


def singular_vectors(kernel):
  left, values, right = np.linalg.svd(np.asarray(kernel, np.float64))
  return left[:, 0], values[0], right[0]


@pytest.mark.parametrize('update_stats', [True, False])
@pytest.mark.parametrize('fields', [(), (('n_steps', 3), ('epsilon', 1e-6))])
def test_variables_outputs_gradients_and_state_are_flax(fields, update_stats):
  model, oracle = Model(SpectralNorm, fields), Model(nn.SpectralNorm, fields)
  variables = model.init(jax.random.key(0), X, False)
  init = functools.partial(oracle.init, update_stats=False)
  theirs = jax.eval_shape(init, jax.random.key(0), X)
  assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, theirs)
  desired_state = variables
  for _ in range(2):
    y, state, gradients = step(model, variables, X, update_stats)
    desired, desired_state, desired_gradients = step(
      oracle, {**variables, **desired_state}, X, update_stats
    )
    np.testing.assert_allclose(y, desired, rtol=1e-4, atol=1e-5)
    reference.assert_trees_close(state, desired_state, rtol=1e-4, atol=1e-6)
    reference.assert_trees_close(
      gradients, desired_gradients, rtol=1e-3, atol=1e-4
    )
    variables = {**variables, **state}


def test_the_state_starts_as_flax():
  state, desired = (
    Model(wrapper).init(jax.random.key(0), X, False)['batch_stats']
    for wrapper in (SpectralNorm, nn.SpectralNorm)
  )
  reference.assert_trees_close(state, desired, rtol=0)


def test_steps_and_gradient_equal_torch():
  torch = pytest.importorskip('torch')
  other = torch.nn.utils.parametrizations.spectral_norm(
    torch.nn.Linear(4, 3, bias=False)
  )
  # torch takes u of the other side first: give it the transpose.
  parts = other.parametrizations.weight
  with torch.no_grad():
    parts.original.copy_(torch.tensor(KERNEL))
    parts[0]._v.copy_(torch.nn.functional.normalize(torch.tensor(U[0]), dim=0))
  u = U / np.linalg.norm(U)
  for _ in range(2):
    weight = other.weight
    w, u, sigma = normalized(dense(), KERNEL, u)
    np.testing.assert_allclose(w, weight.detach(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(u[0], parts[0]._v, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(w * sigma, KERNEL, rtol=1e-4, atol=1e-6)
  weight = other.weight
  torch.sin(weight).sum().backward()
  gradient = jax.grad(lambda k: jnp.sin(normalized(dense(), k, u)[0]).sum())
  np.testing.assert_allclose(
    gradient(KERNEL), parts.original.grad, rtol=1e-3, atol=1e-5
  )


@reference.FEW
@given(seed=st.integers(0, 99))
def test_sigma_is_the_largest_singular_value_after_many_steps(seed):
  kernel, u = reference.normal((3, 4), seed), reference.normal((1, 4), seed + 1)
  left, largest, right = singular_vectors(kernel)
  for _ in range(4):
    w, u, sigma = normalized(dense(n_steps=25), kernel, u)
  np.testing.assert_allclose(sigma, largest, rtol=1e-3)
  np.testing.assert_allclose(np.linalg.norm(w, 2), 1, rtol=1e-3)
  np.testing.assert_allclose(np.linalg.norm(u), 1, rtol=1e-5)


def test_a_convolution_is_a_matrix_of_all_else_by_outputs():
  layer = SpectralNorm(nn.Conv(4, (2, 2)), n_steps=200)
  x = reference.normal((1, 3, 3, 3))
  variables = layer.init(jax.random.key(0), x, update_stats=False)
  _, after = layer.apply(
    variables, x, update_stats=True, mutable=['batch_stats']
  )
  kernel = variables['params']['layer_instance']['kernel'].reshape(-1, 4)
  np.testing.assert_allclose(
    after['batch_stats']['layer_instance/kernel/sigma'],
    np.linalg.norm(kernel, 2),
    rtol=1e-3,
  )


def test_gradient_is_equation_10():
  # dW_sn / dW_ij = (E_ij - (v u)_ij W_sn) / sigma, at the singular vectors.
  v, sigma, u = singular_vectors(KERNEL)
  cotangent = reference.normal(KERNEL.shape, seed=3)

  def loss(kernel):
    w, _, _ = normalized(dense(), kernel, np.float32(u)[None])
    return (w * cotangent).sum()

  w = KERNEL / sigma
  desired = (cotangent - (cotangent * w).sum() * np.outer(v, u)) / sigma
  np.testing.assert_allclose(
    jax.grad(loss)(KERNEL), desired, rtol=1e-4, atol=1e-5
  )


def test_hessian_vector_products_hold_the_vectors_constant():
  # f = sum(c W / s) with s = v W u: D^2 f [t] = -(c st + (c t) vu) / s^2
  # + 2 (c W) st vu / s^3, where st = v t u.
  kernel, t, c = reference.normal((3, 3, 4), seed=4)
  v, _, u = singular_vectors(kernel)

  def gradient(kernel):
    def loss(k):
      return (normalized(dense(), k, np.float32(u)[None])[0] * c).sum()

    return jax.grad(loss)(kernel)

  _, product = jax.jvp(gradient, (kernel,), (t,))
  vu, s, st = np.outer(v, u), v @ kernel @ u, v @ t @ u
  desired = -(c * st + (c * t).sum() * vu) / s**2
  desired += 2 * (c * kernel).sum() * st * vu / s**3
  np.testing.assert_allclose(product, desired, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('bad', [0.0, np.nan, np.inf])
def test_a_kernel_without_a_singular_value_leaves_the_state_as_it_was(bad):
  w, u, sigma = normalized(dense(), np.full_like(KERNEL, bad), U)
  np.testing.assert_array_equal(u, U)
  assert sigma == 1
  if bad == 0:
    np.testing.assert_array_equal(w, 0)


@pytest.mark.parametrize('factor', [1e-25, 1e-8, 1e25])
def test_the_result_does_not_depend_on_the_length_of_the_kernel(factor):
  w, u, sigma = normalized(dense(), KERNEL * np.float32(factor), U)
  desired_w, desired_u, desired_sigma = normalized(dense(), KERNEL, U)
  np.testing.assert_allclose(w, desired_w, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(u, desired_u, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(sigma, factor * desired_sigma, rtol=1e-4)


def test_the_state_is_where_the_field_says():
  variables = dense(collection_name='spectra').init(
    jax.random.key(0), X, update_stats=False
  )
  assert set(variables['spectra']) == {
    'layer_instance/kernel/u',
    'layer_instance/kernel/sigma',
  }


def test_initialization_does_not_move_the_state():
  training, inference = (
    dense().init(jax.random.key(0), X, update_stats=update)['batch_stats']
    for update in (True, False)
  )
  reference.assert_trees_close(training, inference, rtol=0)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_the_state_is_float32_for_half_precision(dtype):
  class Half(nn.Module):
    @nn.compact
    def __call__(self, x):
      layer = nn.Dense(4, param_dtype=dtype)
      norm = SpectralNorm(layer, param_dtype=dtype, name='norm')
      return norm(x, update_stats=True)

  variables = Half().init(jax.random.key(0), X)
  _, after = Half().apply(variables, X, mutable=['batch_stats'])
  for state in (variables['batch_stats'], after['batch_stats']):
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {
      np.dtype('float32')
    }


def test_vectors_are_constants_for_the_gradient():
  # Far from the singular vectors, where a gradient through the iteration has
  # full rank.
  def sigma_and_u(kernel):
    return largest_singular_value(kernel, U[0], n_steps=1, epsilon=1e-12)

  of_sigma, of_u = jax.jacobian(sigma_and_u)(KERNEL)
  assert not of_u.any()
  values = np.linalg.svd(of_sigma, compute_uv=False)
  np.testing.assert_allclose(values, [1, 0, 0], atol=1e-5)


@pytest.mark.parametrize('fields', [{'n_steps': 0}, {'epsilon': -1.0}])
def test_bad_fields_are_errors_that_name_the_field(fields):
  ((field, value),) = fields.items()
  with pytest.raises(ValueError, match=f'^SpectralNorm: {field}={value} must'):
    dense(**fields).init(jax.random.key(0), X, update_stats=False)


def test_higher_ranks_are_rejected_on_request():
  layer = SpectralNorm(nn.Conv(4, (3,)), error_on_non_matrix=True)
  pattern = r'^SpectralNorm: error_on_non_matrix=True .* \(3, 3, 4\)'
  with pytest.raises(ValueError, match=pattern):
    layer.init(jax.random.key(0), X, update_stats=False)
  matrix = dense(error_on_non_matrix=True)
  matrix.init(jax.random.key(0), X, update_stats=False)


def test_a_call_without_update_stats_is_a_value_error():
  pattern = '^SpectralNorm: update_stats=None must be given'
  with pytest.raises(ValueError, match=pattern):
    dense().init(jax.random.key(0), X)
