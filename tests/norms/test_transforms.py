"""What JAX and Flax make of a norm: mapped, stacked, looped over, donated."""

import functools

import jax
import jax.numpy as jnp
import norms_layers as layers
import norms_reference as reference
import numpy as np
import pytest
from flax import linen as nn
from norms_layers import COTANGENT, MASK, SHAPE, X, ready

from normlab import norms


@layers.every_norm
def test_members_of_an_ensemble_are_mapped_by_vmap(name):
  layer, first = ready(name)
  members = [first, layers.randomized(layer, X, seed=1)]
  inputs = [X, 2 * X[::-1] + 1]
  stacked, stacked_inputs = jax.tree.map(
    lambda *leaves: np.stack(leaves), *zip(members, inputs, strict=True)
  )
  run = functools.partial(layers.compiled_step, layer)
  outputs = jax.vmap(run, (0, 0, None, None))(
    stacked, stacked_inputs, COTANGENT, MASK
  )
  for index, (member, x) in enumerate(zip(members, inputs, strict=True)):
    one = jax.tree.map(lambda leaf, index=index: leaf[index], outputs)
    layers.assert_close(one, run(member, x, COTANGENT, MASK))


class Block(nn.Module):
  """An activation and a norm, as `nn.scan` takes them."""

  hooks: norms.Hooks

  @nn.compact
  def __call__(self, x, mask=None):
    return layers.Layer(self.hooks, name='layer')(jnp.tanh(x), mask), None


class Stack(nn.Module):
  """Two such blocks, one after the other."""

  hooks: norms.Hooks

  @nn.compact
  def __call__(self, x, mask=None):
    blocks = nn.scan(
      nn.remat(Block),
      variable_axes={'params': 0, 'batch_stats': 0},
      split_rngs={'params': True, 'noise': True},
      in_axes=nn.broadcast,
      length=2,
    )
    return blocks(self.hooks, name='blocks')(x, mask)[0]


@pytest.mark.slow
@layers.every_norm
def test_scan_and_remat_give_what_a_loop_gives(name):
  fields = {}
  if layers.has_field(name, 'mean_range'):
    # Each layer of a scan has noise of its own: none can be compared.
    fields = {'mean_range': 0.0, 'max_std': 1.0}
    fields |= {'mean_jitter': 0.0, 'std_jitter': 0.0}
  layer = layers.make(name, **fields)
  stack = Stack(layer.hooks)
  stacked = layers.randomized(stack, X)
  # Single values under a mask make gradients of two layers ill-conditioned.
  x, mask = X / 4, np.broadcast_to([[[False]]] + 3 * [[[True]]], SHAPE)
  outputs = layers.compiled_step(stack, stacked, x, COTANGENT, mask)

  def of_block(index, trees):
    return {
      key: jax.tree.map(lambda leaf: leaf[index], tree['blocks']['layer'])
      for key, tree in trees.items()
      if tree
    }

  run = functools.partial(layers.compiled_step, layer)
  first, second = (of_block(index, stacked) for index in (0, 1))
  h1 = np.tanh(x)
  h2 = np.tanh(run(first, h1, COTANGENT, mask)['y'])
  above = run(second, h2, COTANGENT, mask)
  below = run(first, h1, above['x'] * (1 - h2**2), mask)
  layers.assert_close(
    (outputs['y'], outputs['x']),
    (above['y'], below['x'] * (1 - h1**2)),
    tolerance=1e-4,
  )
  trees = {key: outputs[key] for key in ('after', 'params')}
  for index, desired in enumerate((below, above)):
    found = of_block(index, trees)
    layers.assert_close(
      found, {key: desired[key] for key in found}, tolerance=1e-4
    )
    assert bool(found) == bool(stacked)


@layers.every_norm
def test_the_state_keeps_its_types_so_that_lax_scan_can_carry_it(name):
  layer, variables = ready(name)
  train = functools.partial(layers.train, layer)
  _, after = jax.eval_shape(train, variables, X, MASK)
  before = jax.eval_shape(lambda tree: tree, variables.get('batch_stats', {}))
  assert jax.tree.structure(after) == jax.tree.structure(before)
  for new, old in zip(
    jax.tree.leaves(after), jax.tree.leaves(before), strict=True
  ):
    assert (new.shape, new.dtype, new.weak_type) == (
      old.shape,
      old.dtype,
      False,
    )


@pytest.mark.parametrize('name', ['batch', 'batch_renorm', 'spectral'])
def test_a_loop_may_donate_its_variables(name):
  layer, variables = ready(name)
  desired = variables
  given = jax.tree.map(jnp.copy, variables)

  def update(variables, x):
    _, state = layers.train(layer, variables, x)
    return {**variables, 'batch_stats': state}

  donating = jax.jit(update, donate_argnums=0)
  for seed in range(2):
    x = reference.normal(SHAPE, seed, mean=seed)
    new, desired = donating(given, x), jax.jit(update)(desired, x)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(given))
    given = new
  layers.assert_close(given, desired)


@pytest.mark.parametrize('name', norms.ACTIVATION_NORMS)
@pytest.mark.parametrize('mask', [MASK, None])
def test_jit_may_close_over_arrays_that_vmap_maps(name, mask):
  layer, variables = ready(name)

  # NumPy arrays stay what they are until an operation takes them, which must
  # not be a function with a derivative of its own.
  def closed():
    return jax.vmap(functools.partial(layers.step, layer, variables))(
      X[:, None], COTANGENT[:, None], *([] if mask is None else [mask[:, None]])
    )

  assert jax.jit(closed).eval_shape()['y'].shape == (4, 1, 3, 4)
