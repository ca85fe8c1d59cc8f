"""Keras as an oracle: its batch renormalization, where conventions agree.

Theirs keeps two pairs of averages, one for r and d (`renorm_momentum`) and one
for inference (`momentum`), where the paper and we have one: equal momenta make
them one. Their r has no lower limit unless `rmin` is given; ours has 1 / r_max.
"""

import functools

import hypothesis
import jax
import norms_reference as reference
import numpy as np
import pytest
from hypothesis import strategies as st

from normlab.norms import BatchRenorm

SHAPE = (4, 2, 3)
X = reference.normal(SHAPE, mean=1, std=2)
COTANGENT = reference.normal(SHAPE, seed=9)
# Of Keras 3; its first release with `renorm` for all backends.
VERSION = '3.14'


@pytest.fixture(scope='module')
def keras(tmp_path_factory):
  """The library with JAX as its backend; it writes a folder of its own."""
  with pytest.MonkeyPatch.context() as environment:
    environment.setenv('KERAS_BACKEND', 'jax')
    environment.setenv('KERAS_HOME', str(tmp_path_factory.mktemp('keras')))
    module = pytest.importorskip('keras', minversion=VERSION)
  if module.backend.backend() != 'jax':
    pytest.skip('Keras was imported before, with another backend')
  return module


def states(variables):
  """Our variables by the names of theirs."""
  params, stats = variables['params'], dict(variables['batch_stats'])
  mean = stats['mean']
  named = {
    'gamma': params['scale'],
    'beta': params['bias'],
    'moving_mean': mean,
  }
  std, epsilon = stats['std'], 1e-3
  return {
    **named,
    'moving_stddev': std,
    'moving_variance': std**2 - epsilon,
    'renorm_mean': mean,
    'renorm_stddev': std,
  }


class Oracle:
  """A layer of theirs as functions of our variables."""

  def __init__(self, layer):
    layer.build((None, *SHAPE[1:]))
    self.layer = layer
    self.trainable, self.state = (
      [variable.path.split('/')[-1] for variable in variables]
      for variables in (
        layer.trainable_variables,
        layer.non_trainable_variables,
      )
    )

  @functools.partial(jax.jit, static_argnums=(0, 3))
  def __call__(self, variables, x, training, mask=None):
    """The output, and the state by their names."""
    y, state = self.layer.stateless_call(
      [variables[name] for name in self.trainable],
      [variables[name] for name in self.state],
      x,
      training=training,
      mask=mask,
    )
    return y, dict(zip(self.state, state, strict=True))

  @functools.partial(jax.jit, static_argnums=0)
  def gradients(self, variables, x):
    """Of sum(y * COTANGENT)."""

    def loss(variables, x):
      return (self(variables, x, True)[0] * COTANGENT).sum()

    return jax.grad(loss, (0, 1))(variables, x)


@pytest.fixture(scope='module')
def renorm(keras):
  return Oracle(
    keras.layers.BatchNormalization(
      momentum=0.9,
      renorm=True,
      renorm_momentum=0.9,
      renorm_clipping={'rmax': 1.5, 'rmin': 1 / 1.5, 'dmax': 0.5},
    )
  )


OURS = BatchRenorm(momentum=0.9, epsilon=1e-3, r_max=1.5, d_max=0.5)


@reference.FEW
@hypothesis.given(
  seed=st.integers(0, 999),
  mean=st.sampled_from([0.0, 2.0]),
  std=st.sampled_from([0.2, 1.0, 5.0]),
)
def test_renormalization_trains_alike(renorm, seed, mean, std):
  x = reference.normal(SHAPE, seed, mean, std)
  variables = reference.randomized(OURS, x, seed)
  desired, state = renorm(states(variables), x, True)
  desired_gradients, desired_gradient = renorm.gradients(states(variables), x)
  y, after = reference.train(OURS, variables, x)
  gradients, gradient = reference.gradients(OURS, variables, x, COTANGENT)
  np.testing.assert_allclose(y, desired, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(gradient, desired_gradient, rtol=1e-3, atol=1e-5)
  for ours, theirs in (('scale', 'gamma'), ('bias', 'beta')):
    np.testing.assert_allclose(
      gradients[ours], desired_gradients[theirs], rtol=1e-4, atol=1e-4
    )
  for name, value in state.items():
    np.testing.assert_allclose(
      states(after)[name], value, rtol=1e-4, atol=1e-5, err_msg=name
    )


def test_renormalization_infers_alike_after_some_steps(renorm):
  variables = reference.randomized(OURS, X)
  theirs = states(variables)
  for seed in range(3):
    x = reference.normal(SHAPE, seed, mean=seed, std=2)
    _, state = renorm(theirs, x, True)
    theirs = {**theirs, **state}
    _, variables = reference.train(OURS, variables, x)
  desired, _ = renorm(theirs, X, False)
  y = reference.evaluate(OURS, variables, X)
  np.testing.assert_allclose(y, desired, rtol=1e-4, atol=1e-5)
