"""The gradients of BatchNorm are those that its papers derive by hand.

In float64 and, where the papers have none, with epsilon = 0.
"""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from hypothesis import strategies as st

from normlab.norms import BatchNorm

SHAPE = (6, 2, 3)
AXES = (0, 1)
seeds = st.integers(0, 999)


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def draws(seed, *shapes):
  generator = np.random.default_rng(seed)
  return [generator.normal(0.5, 2, shape) for shape in shapes]


def standardized(x):
  """BatchNorm without parameters and without epsilon."""
  layer = BatchNorm(False, epsilon=0.0, use_scale=False, use_bias=False)
  return layer.apply({}, x, mutable=['batch_stats'])[0]


@reference.FEW
@hypothesis.given(seed=seeds)
def test_gradients_are_the_backward_formulas_of_the_paper(seed):
  # arXiv:1502.03167, section 3.
  epsilon = 1e-2
  layer = BatchNorm(epsilon=epsilon)
  x, g = draws(seed, SHAPE, SHAPE)
  variables = reference.randomized(layer, x, seed)
  params, gradient = reference.gradients(layer, variables, x, g)
  m = x.shape[0] * x.shape[1]
  mean, var, _ = reference.moments(x, AXES)
  total = functools.partial(np.sum, axis=AXES, keepdims=True)
  d_x_hat = g * np.asarray(variables['params']['scale'], np.float64)
  d_var = total(d_x_hat * (x - mean) * -0.5 * (var + epsilon) ** -1.5)
  d_mean = (
    total(-d_x_hat / np.sqrt(var + epsilon))
    + d_var * total(-2 * (x - mean)) / m
  )
  d_x = (
    d_x_hat / np.sqrt(var + epsilon) + d_var * 2 * (x - mean) / m + d_mean / m
  )
  assert gradient.dtype == np.float64
  np.testing.assert_allclose(gradient, d_x, rtol=1e-9, atol=1e-11)
  x_hat = (x - mean) / np.sqrt(var + epsilon)
  # The parameters, and so their gradients, are float32.
  np.testing.assert_allclose(params['scale'], (g * x_hat).sum(AXES), rtol=1e-4)
  np.testing.assert_allclose(params['bias'], g.sum(AXES), rtol=1e-4)


@functools.partial(jax.jit, static_argnums=0)
def pulled_back(function, x, g):
  """The output, and the gradient of sum(g * output)."""
  y, pull = jax.vjp(function, x)
  return y, pull(g)[0]


@reference.FEW
@hypothesis.given(seed=seeds)
def test_gradient_is_orthogonal_to_the_mean_and_to_the_deviation(seed):
  # Neither a shift nor a rescaling of x changes anything.
  x, g = draws(seed, SHAPE, SHAPE)
  _, gradient = pulled_back(standardized, x, g)
  assert abs(gradient).max() > 1e-3
  np.testing.assert_allclose(gradient.sum(AXES), 0, atol=1e-12)
  np.testing.assert_allclose((gradient * x).sum(AXES), 0, atol=1e-11)


@reference.FEW
@hypothesis.given(seed=seeds)
def test_gradient_is_fact_c_1(seed):
  # arXiv:1805.11604: d x = (m g - sum(g) - y_hat sum(g y_hat)) / (m sigma).
  x, g = draws(seed, SHAPE, SHAPE)
  m = x.shape[0] * x.shape[1]
  y_hat, gradient = pulled_back(standardized, x, g)
  desired = m * g - g.sum(AXES) - y_hat * (g * y_hat).sum(AXES)
  np.testing.assert_allclose(
    gradient, desired / (m * x.std(AXES)), rtol=1e-9, atol=1e-12
  )


@jax.jit
def scaled_layer(w, u, g):
  """BN(u w): the output, and the gradients for the weights and the input."""
  y, pull = jax.vjp(lambda w, u: standardized(u @ w), w, u)
  return y, *pull(g)


@reference.FEW
@hypothesis.given(seed=seeds, a=st.sampled_from([1e-3, 0.2, 3.5, 1e4]))
def test_weights_of_another_scale_give_the_same_output(seed, a):
  # arXiv:1502.03167, section 3.3: BN((aW)u) = BN(Wu), the gradient for u is the
  # same, and that for aW is 1/a of that for W.
  w, u, g = draws(seed, (4, 3), (8, 4), (8, 3))
  y, d_w, d_u = scaled_layer(w, u, g)
  scaled_y, d_scaled_w, d_scaled_u = scaled_layer(a * w, u, g)
  assert abs(d_w).max() > 1e-3
  np.testing.assert_allclose(scaled_y, y, rtol=1e-8, atol=1e-10)
  np.testing.assert_allclose(d_scaled_u, d_u, rtol=1e-8, atol=1e-10)
  np.testing.assert_allclose(a * d_scaled_w, d_w, rtol=1e-8, atol=1e-10)


@reference.FEW
@hypothesis.given(seed=seeds)
def test_gradient_of_the_weights_is_orthogonal_to_each_unit(seed):
  # The derivative along w of what does not depend on its scale: so |w| can only
  # grow under gradient descent, and the effective learning rate with it fall.
  w, u, g = draws(seed, (4, 3), (8, 4), (8, 3))
  _, d_w, _ = scaled_layer(w, u, g)
  assert abs(d_w).max() > 1e-3
  np.testing.assert_allclose((d_w * w).sum(0), 0, atol=1e-10)


def landscape(z):
  """Some loss of the normalized values, the same for each channel."""
  return (jnp.sin(z) + z**3 / 9).sum()


@jax.jit
def loss_gradients(gamma, y):
  """For the input of the norm; and g for z = gamma * y_hat, as if it were x."""
  normalized = jax.grad(lambda y: landscape(gamma * standardized(y)))(y)
  return normalized, jax.grad(landscape)(gamma * standardized(y))


@reference.FEW
@hypothesis.given(
  seed=seeds,
  m=st.sampled_from([3, 7, 20]),
  gamma=st.floats(0.2, 3),
)
def test_gradient_norm_is_the_one_of_theorem_4_1(seed, m, gamma):
  # arXiv:1805.11604. The last coefficient is 1/m, where the paper prints
  # 1/sqrt(m): with |y_hat|^2 = m its equation 8 gives 1/m, and equality.
  (y,) = draws(seed, (m, 3))
  gradient, g = loss_gradients(gamma, y)
  y_hat = reference.standardized(y, (0,), epsilon=0)
  norm, along_one, along_y = (
    (g**2).sum(0),
    g.sum(0) ** 2,
    (g * y_hat).sum(0) ** 2,
  )
  factor = gamma**2 / y.var(0)
  square = (gradient**2).sum(0)
  np.testing.assert_allclose(
    square, factor * (norm - along_one / m - along_y / m), rtol=1e-8, atol=1e-10
  )
  # As printed it would be no upper bound.
  printed = factor * (norm - along_one / m - along_y / m**0.5)
  assert (square > printed).all()


@jax.jit
def curvatures(gamma, y):
  """Of the normalized loss, and of the loss itself, along the gradient for y.

  Also that gradient, and the one for z.
  """
  gradient, g = loss_gradients(gamma, y)
  _, normalized = jax.jvp(
    jax.grad(lambda y: landscape(gamma * standardized(y))), (y,), (gradient,)
  )
  z = gamma * standardized(y)
  _, plain = jax.jvp(jax.grad(landscape), (z,), (gradient,))
  return (gradient * normalized).sum(), (gradient * plain).sum(), gradient, g


@reference.FEW
@hypothesis.given(seed=seeds, gamma=st.floats(0.2, 3))
def test_curvature_along_the_gradient_is_the_one_of_theorem_4_2(seed, gamma):
  # arXiv:1805.11604; an equality too, since the projections that BN adds leave
  # its gradient as it is.
  m = 7
  (y,) = draws(seed, (m, 1))
  curvature, plain, gradient, g = curvatures(gamma, y)
  y_hat = reference.standardized(y, (0,), epsilon=0)
  along_y = (g * y_hat).sum()
  desired = gamma**2 * plain - gamma / m * along_y * (gradient**2).sum()
  np.testing.assert_allclose(curvature, desired / y.var(), rtol=1e-6)
