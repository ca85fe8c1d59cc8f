import functools

import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from flax import linen as nn

from normlab.norms.kernels.spectral_penalty import (
  spectral_penalty,
  spectral_state,
)

PARAMS = {
  'conv': {'kernel': reference.normal((2, 3, 4)), 'bias': np.ones((4,))},
  'block': {
    'dense': {'kernel': reference.normal((4, 3), seed=1)},
    'norm': {'scale': np.ones((3,), np.float32)},
  },
  # Neither of rank 2 nor named kernel.
  'vector': {'kernel': np.ones((3,), np.float32)},
  'table': {'embedding': np.ones((3, 3), np.float32)},
}
PATHS = ['block/dense/kernel', 'conv/kernel']
MATRICES = [
  PARAMS['block']['dense']['kernel'],
  PARAMS['conv']['kernel'].reshape(-1, 4),
]


@functools.partial(jax.jit, static_argnames=('n_steps',))
def penalty_and_gradient(params, state, **kwargs):
  def loss(params):
    return spectral_penalty(params, state, **kwargs)

  return jax.value_and_grad(loss, has_aux=True)(params)


def converged(params=PARAMS):
  state = spectral_state(params, jax.random.key(0))
  for _ in range(5):
    (_, state), _ = penalty_and_gradient(params, state, n_steps=20)
  return state


def test_penalty_is_half_the_weighted_sum_of_squared_spectral_norms():
  squares = sum(np.linalg.norm(matrix, 2) ** 2 for matrix in MATRICES)
  penalty, _ = spectral_penalty(PARAMS, converged())
  np.testing.assert_allclose(penalty, 0.01 / 2 * squares, rtol=1e-3)
  penalty, _ = spectral_penalty(PARAMS, converged(), weight=3.0)
  np.testing.assert_allclose(penalty, 3 / 2 * squares, rtol=1e-3)


def test_gradient_is_sigma_times_the_outer_product_of_the_vectors():
  _, gradients = penalty_and_gradient(PARAMS, converged(), weight=0.5)
  actual = [
    gradients['block']['dense'].pop('kernel'),
    gradients['conv'].pop('kernel').reshape(-1, 4),
  ]
  for matrix, gradient in zip(MATRICES, actual, strict=True):
    left, values, right = np.linalg.svd(np.asarray(matrix, np.float64))
    desired = 0.5 * values[0] * np.outer(left[:, 0], right[0])
    np.testing.assert_allclose(gradient, desired, rtol=0.01, atol=1e-3)
  assert not any(leaf.any() for leaf in jax.tree.leaves(gradients))


def test_one_step_at_a_time_is_as_good_as_many_at_once():
  state = spectral_state(PARAMS, jax.random.key(1))
  _, at_once = spectral_penalty(PARAMS, state, n_steps=4)
  for _ in range(4):
    _, state = spectral_penalty(PARAMS, state)
  reference.assert_trees_close(state, at_once, rtol=1e-5, atol=1e-6)


def test_the_state_is_a_random_vector_per_kernel():
  state = spectral_state(PARAMS, jax.random.key(0))
  other = spectral_state(PARAMS, jax.random.key(1))
  assert {path: u.shape for path, u in state.items()} == {
    'block/dense/kernel': (3,),
    'conv/kernel': (4,),
  }
  assert all((state[path] != other[path]).all() for path in state)


def test_a_gradient_step_makes_the_norm_smaller():
  state = converged()
  (before, _), gradients = penalty_and_gradient(PARAMS, state, weight=1.0)
  params = jax.tree.map(lambda p, g: p - 0.1 * g, PARAMS, gradients)
  (after, _), _ = penalty_and_gradient(params, state, weight=1.0)
  # sigma falls by the factor 0.9, until another is the largest.
  np.testing.assert_allclose(after, 0.81 * before, rtol=0.05)


def test_zero_kernels_are_finite_and_leave_the_state():
  params = jax.tree.map(np.zeros_like, PARAMS)
  state = spectral_state(params, jax.random.key(0))
  (penalty, after), gradients = penalty_and_gradient(params, state)
  assert penalty == 0
  assert not any(leaf.any() for leaf in jax.tree.leaves(gradients))
  reference.assert_trees_close(after, state, rtol=0)


def test_half_precision_kernels_have_a_float32_penalty_and_state():
  params = {'kernel': jnp.full((3, 4), 6e4, 'float16')}
  state = spectral_state(params, jax.random.key(0))
  penalty, state = spectral_penalty(params, state, weight=1.0)
  assert penalty.dtype == state['kernel'].dtype == jnp.float32
  np.testing.assert_allclose(penalty, 6 * 6e4**2, rtol=1e-3)


def test_parameters_of_a_model_are_taken_as_they_are():
  params = nn.Dense(3).init(jax.random.key(0), np.ones((1, 2)))['params']
  assert list(spectral_state(params, jax.random.key(0))) == ['kernel']


@pytest.mark.parametrize(
  'argument, value', [('weight', -1.0), ('n_steps', 0), ('epsilon', -1e-9)]
)
def test_bad_arguments_are_errors_that_name_them(argument, value):
  with pytest.raises(
    ValueError, match=f'^spectral_penalty: {argument}={value}'
  ):
    spectral_penalty(PARAMS, converged(), **{argument: value})


def test_a_state_of_other_kernels_is_a_value_error():
  state = spectral_state(PARAMS, jax.random.key(0))
  del state['conv/kernel']
  with pytest.raises(ValueError, match='must have one u per kernel'):
    spectral_penalty(PARAMS, state)


def test_parameters_without_a_kernel_are_a_value_error():
  with pytest.raises(ValueError, match=r"params=\['bias'\] must have"):
    spectral_penalty({'bias': np.ones((2, 2))}, {})
