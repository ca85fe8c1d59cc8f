import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probed_runs import CLASSES, initial, prepared

from normlab import models, norms
from normlab.probes import landscape

# Eigenvalues of a quadratic loss, 1/2 w' H w - b' w.
CURVATURES = np.float32([0.5, 3, 20])
LENGTHS = np.float32([0.1, 0.4, 1])


@functools.cache
def basis():
  generator = np.random.default_rng(0)
  return np.linalg.qr(generator.normal(size=(3, 3)))[0]


def hessian():
  return (basis() * CURVATURES) @ basis().T


def quadratic(params):
  """The gradient and the loss of least squares, whose Hessian is known."""
  w = jnp.concatenate([params['a'], params['b']])
  linear = jnp.arange(3.0)
  gradient = hessian() @ w - linear
  loss = w @ hessian() @ w / 2 - linear @ w
  return as_tree(gradient), loss


def as_tree(vector):
  return {'a': jnp.asarray(vector[:1]), 'b': jnp.asarray(vector[1:])}


W = np.float32([1, -2, 0.5])


def seen_along(direction, lengths=LENGTHS):
  gradient, _ = quadratic(as_tree(W))
  return landscape.along(
    quadratic, as_tree(W), gradient, as_tree(direction), lengths
  )


@pytest.mark.parametrize('i', range(3))
def test_along_an_eigenvector_smoothness_is_the_eigenvalue(i):
  found = seen_along(2.5 * basis()[:, i])
  np.testing.assert_allclose(found['smoothness'], CURVATURES[i], rtol=1e-4)
  np.testing.assert_allclose(
    found['gradient_difference'], 2.5 * LENGTHS * CURVATURES[i], rtol=1e-4
  )


def test_the_loss_is_that_of_the_moved_parameters():
  direction = np.float32([1, 2, 3])
  found = seen_along(direction)
  expected = [quadratic(as_tree(W - a * direction))[1] for a in LENGTHS]
  np.testing.assert_allclose(found['loss'], expected, rtol=1e-5)


def test_smoothness_does_not_depend_on_the_length_of_a_quadratic():
  found = seen_along(np.float32([1, 2, 3]))['smoothness']
  np.testing.assert_allclose(found, found[0], rtol=1e-4)


def test_lengths_and_directions_of_zero_have_smoothness_zero():
  found = seen_along(np.float32([1, 2, 3]), np.float32([0]))
  here = quadratic(as_tree(W))[1]
  assert found == {
    'loss': here,
    'gradient_difference': 0,
    'smoothness': 0,
  }
  assert (seen_along(np.zeros(3, np.float32))['smoothness'] == 0).all()


@pytest.mark.parametrize('scale', [1.0, 1e-30, 0.0])
def test_a_random_direction_has_the_norm_of_the_gradient(scale):
  like = {'a': jnp.full((3, 4), scale), 'b': jnp.zeros(5)}
  found = landscape.random_direction(jax.random.key(0), like)
  flat = np.concatenate([np.ravel(x) for x in jax.tree.leaves(found)])
  norm = np.linalg.norm(flat.astype(np.float64))
  np.testing.assert_allclose(norm, scale * np.sqrt(12), rtol=1e-5)
  # All parameters take part, whatever their gradient is.
  assert (flat != 0).all() == (scale != 0)


def mlp(norm='batch', **fields):
  extra = {'num_groups': 1} if norm in ('group', 'evonorm_s0') else {}
  hooks = norms.build(name=norm, **extra)
  return models.build(
    'mlp', num_classes=CLASSES, widths=(6, 4), **hooks, **fields
  )


NAMES = {
  'lengths',
  *(
    f'{name}{suffix}'
    for name in ('loss', 'gradient_difference', 'smoothness')
    for suffix in ('', '_random')
  ),
}


def test_lengths_are_factors_of_the_learning_rate():
  run = prepared(mlp(), rate=0.2)
  found = landscape.measure(run, initial(run), 0)
  np.testing.assert_allclose(found['lengths'], [0.1, 0.2, 0.4, 0.8])
  run = prepared(mlp(), rate=0.2, step_lengths=(3.0,))
  found = landscape.measure(run, initial(run), 0)
  np.testing.assert_allclose(found['lengths'], [0.6])


def test_a_short_step_along_the_gradient_lowers_the_loss_by_its_square():
  run = prepared(mlp(), rate=0.01, step_lengths=(1.0, 2.0))
  state = initial(run)
  (there, further), lengths = (
    landscape.measure(run, state, 0)[name] for name in ('loss', 'lengths')
  )
  assert further < there
  here = landscape.measure(prepared(mlp(), rate=0.0), state, 0)
  np.testing.assert_array_equal(here['loss'], here['loss_random'])
  assert (here['smoothness'] == 0).all()
  fall = here['loss'][0] - there
  # |g|^2 a, from the smaller fall over the second half of the way.
  assert there - further < fall < 1.5 * (there - further)
  assert lengths[1] == 2 * lengths[0]


def test_directions_of_two_steps_differ_and_that_of_one_does_not():
  run = prepared(mlp())
  state = initial(run)
  first, again, later = (landscape.measure(run, state, i) for i in (0, 0, 1))
  for name in NAMES:
    np.testing.assert_array_equal(first[name], again[name])
  assert (first['loss_random'] != later['loss_random']).all()
  np.testing.assert_array_equal(first['loss'], later['loss'])


@pytest.mark.parametrize('norm', norms.NORMS)
def test_every_norm_is_measured_and_left_as_it_is(norm):
  run = prepared(mlp(norm), step_lengths=(0.5, 4.0))
  state = initial(run)
  before = jax.tree.map(np.asarray, state)
  found = landscape.measure(run, state, 0)
  assert set(found) == NAMES
  for value in found.values():
    assert value.shape == (2,) and np.isfinite(value).all()
  jax.tree.map(np.testing.assert_array_equal, state, before)
