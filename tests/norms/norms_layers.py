"""Every norm of `norms.NORMS` behind one call, with variables and an input."""

import collections
import functools
import math
import re

import jax
import norms_reference as reference
import numpy as np
import pytest
from flax import linen as nn
from jax.sharding import AxisType, Mesh

from normlab import norms

FIELDS = {'group': {'num_groups': 2}, 'evonorm_s0': {'num_groups': 2}}
every_norm = pytest.mark.parametrize('name', norms.NORMS)
both_kinds_of_axes = pytest.mark.parametrize(
  'kind', [AxisType.Explicit, AxisType.Auto]
)
# In the text of a compiled program; asynchronous ones have start and done.
COLLECTIVE = re.compile(
  r' (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute'
  r'|collective-broadcast)(?:-start)?\('
)
# Of a generator that compiles faster than the default one.
KEY = jax.random.key(0, impl='unsafe_rbg')


class Layer(nn.Module):
  """A norm of activations; or a dense layer with a norm of its kernel."""

  hooks: norms.Hooks

  @nn.compact
  def __call__(self, x, mask=None):
    if self.hooks.kernel_norm is None:
      norm = self.hooks.norm(name='norm')
      return norm(x, use_running_average=False, mask=mask)
    dense = nn.Dense(x.shape[-1], name='dense')
    return self.hooks.kernel_norm(dense, name='norm')(x, update_stats=True)


def make(name, **fields):
  return Layer(norms.build(name=name, **FIELDS.get(name, {}), **fields))


def has_field(name, field):
  return field in norms.fields_of(name)


# The norms with statistics of the batch, and running ones.
AVERAGING = [n for n in norms.ACTIVATION_NORMS if has_field(n, 'momentum')]


# Late enough for BatchRenorm to have corrections.
randomized = functools.partial(reference.drawn, updates=30_000)
SHAPE = (4, 3, 4)
X = reference.normal(SHAPE, mean=1, std=2)
COTANGENT = reference.normal(SHAPE, seed=9)


def unequal_mask(shape, empty=2):
  """Of each example another share is valid, of the first ones none."""
  mask = reference.normal(shape, seed=1) > -0.5
  mask[:empty] = False
  return mask


MASK = unequal_mask(SHAPE, empty=1)


@functools.cache
def ready(name):
  """A norm, and its variables for `X`."""
  layer = make(name)
  return layer, randomized(layer, X)


def train(layer, variables, x, mask=None, key=KEY):
  """The output of a training call, and the state after it."""
  y, after = layer.apply(
    variables, x, mask, mutable=['batch_stats'], rngs={'noise': key}
  )
  return y, after.get('batch_stats', {})


def step(layer, variables, x, cotangent, mask=None):
  """Output, state, and the gradients of sum(y * cotangent)."""

  def run(params, x):
    return train(layer, {**variables, 'params': params}, x, mask)

  params = variables.get('params', {})
  y, pull_back, after = jax.vjp(run, params, x, has_aux=True)
  of_params, of_x = pull_back(cotangent)
  return {'y': y, 'after': after, 'params': of_params, 'x': of_x}


# A layer is hashable by value.
compiled_step = functools.partial(jax.jit, static_argnums=0)(step)


def assert_close(actual, desired, tolerance=1e-5):
  """Equal trees, to a tolerance relative to the largest value of a leaf."""
  assert jax.tree.structure(actual) == jax.tree.structure(desired)
  for (path, leaf), other in zip(
    jax.tree_util.tree_leaves_with_path(actual),
    jax.tree.leaves(desired),
    strict=True,
  ):
    np.testing.assert_allclose(
      leaf,
      other,
      rtol=0,
      atol=tolerance * np.abs(other).max(),
      err_msg=jax.tree_util.keystr(path),
    )


def mesh(kind, **sizes):
  """The first simulated devices, as many as the sizes of the axes ask for.

  Args:
    kind: of all axes: explicit, as `jax.make_mesh` has them, or auto.
    **sizes: by name of axis.
  """
  count = math.prod(sizes.values())
  devices = np.array(jax.devices()[:count]).reshape(tuple(sizes.values()))
  return Mesh(devices, tuple(sizes), axis_types=(kind,) * len(sizes))


def collectives(program):
  """How often a compiled program communicates, by operation."""
  return collections.Counter(COLLECTIVE.findall(program.as_text()))
