"""Checkpoints of flax.linen's norms go on in ours, and ours in them."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from flax import linen as nn
from flax import serialization

from normlab import norms

X = reference.normal((3, 4, 4, 2))


class Network(nn.Module):
  """A small convolutional network with the norms of one of the libraries.

  Without names of layers: those that flax gives must be the same.
  """

  library: Any

  @nn.compact
  def __call__(self, x, use_running_average):
    lib = self.library
    x = lib.WeightNorm(nn.Conv(4, (2, 2)))(x)
    x = lib.BatchNorm(momentum=0.8)(x, use_running_average)
    x = nn.relu(lib.GroupNorm(2)(x))
    x = lib.InstanceNorm()(nn.Dense(4)(x))
    x = lib.RMSNorm()(lib.LayerNorm()(x).max((1, 2)))
    dense = lib.SpectralNorm(nn.Dense(3))
    return dense(x, update_stats=not use_running_average)


def empty(network):
  """Variables that a checkpoint is read into."""
  init = functools.partial(network.init, use_running_average=False)
  shapes = jax.eval_shape(init, jax.random.key(0), X)
  return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


# At level 0, which conftest.py chooses, the gradients behind the maximum are
# infinite for the layers of both libraries.
@functools.partial(
  jax.jit,
  static_argnums=0,
  compiler_options={'xla_backend_optimization_level': 1},
)
def step(network, variables):
  """Training and inference outputs, the new state, and the gradients."""

  def loss(params):
    y, state = network.apply(
      {**variables, 'params': params}, X, False, mutable=['batch_stats']
    )
    return (y**2).sum(), (y, state)

  gradients, (y, state) = jax.grad(loss, has_aux=True)(variables['params'])
  return y, network.apply(variables, X, True), dict(state), gradients


@pytest.mark.parametrize('saver, loader', [(nn, norms), (norms, nn)])
def test_a_checkpoint_of_a_network_goes_on_in_the_other_library(saver, loader):
  saved, loaded = Network(saver), Network(loader)
  variables = reference.randomized(saved, X)
  restored = serialization.from_bytes(
    empty(loaded), serialization.to_bytes(variables)
  )
  reference.assert_trees_close(restored, variables, rtol=0)
  actual, desired = step(loaded, restored), step(saved, variables)
  assert len(variables['batch_stats']) == 2  # BatchNorm and SpectralNorm.
  assert jax.tree.structure(actual) == jax.tree.structure(desired)
  for a, b in zip(*map(jax.tree.leaves, (actual, desired)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
  'fields, extra',
  [
    ({'unbiased': True}, set()),
    ({'ghost_batch_size': 3}, set()),
    ({'frozen': True}, set()),
    ({'debias': True}, {'updates'}),
    ({'momentum': None}, {'updates'}),
  ],
)
def test_of_our_own_fields_only_new_averages_need_more_state(fields, extra):
  theirs = empty(nn.BatchNorm())
  ours = empty(norms.BatchNorm(**fields))
  assert ours['batch_stats'].keys() - theirs['batch_stats'].keys() == extra
  saved = serialization.to_bytes(theirs)
  if not extra:
    serialization.from_bytes(ours, saved)
  else:  # No silent start from a wrong count.
    with pytest.raises(ValueError, match='updates'):
      serialization.from_bytes(ours, saved)
