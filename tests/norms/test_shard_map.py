"""A batch that devices share under `jax.shard_map`, with `axis_name`."""

import functools

import jax
import norms_layers as layers
import norms_reference as reference
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from normlab import norms

SHAPE = (16, 3, 4)
X = reference.normal(SHAPE, mean=3, std=2)
COTANGENT = reference.normal(SHAPE, seed=9)
# The first of eight devices has no value, and the others have unequally many.
MASK = layers.unequal_mask(SHAPE)
BATCH, WHOLE = P('data'), P()
OTHERS = [name for name in norms.NORMS if name != 'batch']


def on_one_device(name):
  """A norm whose noise is that of channels: devices draw their own jitter."""
  fields = {}
  if layers.has_field(name, 'mean_jitter'):
    fields = {'mean_jitter': 0.0, 'std_jitter': 0.0}
  return layers.make(name, **fields)


def on_devices(name, **fields):
  """The same norm, of devices that share the batch."""
  if name not in layers.AVERAGING and name != 'noise':
    return on_one_device(name)
  hooks = on_one_device(name).hooks
  pairs = {**dict(hooks.norm.fields), 'axis_name': 'data', **fields}
  return layers.Layer(norms.Hooks(norms.factory(hooks.norm.layer, pairs)))


def compiled(function, mesh, in_specs, out_specs, arguments, **options):
  mapped = jax.shard_map(
    function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, **options
  )
  placed = [
    jax.device_put(argument, NamedSharding(mesh, spec))
    for argument, spec in zip(arguments, in_specs, strict=True)
  ]
  return jax.jit(mapped).lower(*placed).compile(), placed


def training_step(layer, mesh, variables):
  """The program of a step on devices; all of them end with the same state."""
  return compiled(
    functools.partial(layers.step, layer),
    mesh,
    (WHOLE, BATCH, BATCH, BATCH),
    {'y': BATCH, 'after': WHOLE, 'params': WHOLE, 'x': BATCH},
    (variables, X, COTANGENT, MASK),
  )


@pytest.mark.parametrize(
  'name',
  ['batch', *(pytest.param(n, marks=pytest.mark.slow) for n in OTHERS)],
)
def test_unequally_masked_devices_equal_the_joined_batch(name):
  layer = on_one_device(name)
  variables = layers.randomized(layer, X)
  mesh = layers.mesh(AxisType.Explicit, data=8)
  program, arguments = training_step(on_devices(name), mesh, variables)
  layers.assert_close(
    program(*arguments),
    layers.compiled_step(layer, variables, X, COTANGENT, MASK),
  )


@layers.both_kinds_of_axes
def test_batch_norm_needs_one_all_reduce_each_way(kind):
  mesh, layer = layers.mesh(kind, data=8), on_devices('batch')
  variables = layers.randomized(on_one_device('batch'), X)
  program, _ = compiled(
    functools.partial(layers.train, layer),
    mesh,
    (WHOLE, BATCH, BATCH),
    (BATCH, WHOLE),
    (variables, X, MASK),
  )
  assert layers.collectives(program) == {'all-reduce': 1}
  program, _ = training_step(layer, mesh, variables)
  assert layers.collectives(program) == {'all-reduce': 2}


@pytest.mark.parametrize('name', layers.AVERAGING)
def test_groups_of_devices_equal_the_joined_batch_of_each(name):
  layer = on_one_device(name)
  variables = layers.randomized(layer, X)
  grouped = on_devices(name, axis_index_groups=[[0, 1], [2, 3]])

  def run(variables, x, cotangent, mask):
    outputs = layers.step(grouped, variables, x, cotangent, mask)
    state = jax.tree.map(lambda leaf: leaf[None], outputs['after'])
    return outputs['y'], outputs['x'], state

  program, arguments = compiled(
    run,
    layers.mesh(AxisType.Auto, data=4),
    (WHOLE, BATCH, BATCH, BATCH),
    BATCH,
    (variables, X, COTANGENT, MASK),
    check_vma=False,  # JAX has no types for groups.
  )
  y, gradient, state = program(*arguments)
  for group in (0, 1):
    part = slice(8 * group, 8 * group + 8)
    desired = layers.compiled_step(
      layer, variables, X[part], COTANGENT[part], MASK[part]
    )
    layers.assert_close((y[part], gradient[part]), (desired['y'], desired['x']))
    for device in (2 * group, 2 * group + 1):
      one = jax.tree.map(lambda leaf, device=device: leaf[device], state)
      layers.assert_close(one, desired['after'])


@pytest.mark.parametrize('name', layers.AVERAGING)
def test_no_device_with_a_value_leaves_the_state_as_it_was(name):
  variables = layers.randomized(on_one_device(name), X)
  layer, nothing = on_devices(name), np.zeros(SHAPE, bool)
  train = functools.partial(layers.train, layer, variables)
  _, after = jax.jit(jax.vmap(train, axis_name='data'))(
    X[:, None], nothing[:, None]
  )
  for leaf, before in zip(
    jax.tree.leaves(after),
    jax.tree.leaves(variables['batch_stats']),
    strict=True,
  ):
    np.testing.assert_array_equal(leaf, np.broadcast_to(before, leaf.shape))
