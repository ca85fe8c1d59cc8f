"""A batch that devices share under plain `jit`: results and communication."""

import functools

import jax
import jax.numpy as jnp
import norms_layers as layers
import norms_reference as reference
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from normlab import norms
from normlab.norms import BatchNorm

SHAPE = (16, 3, 4)


@functools.cache
def inputs(shape, masked):
  """x, cotangent and mask; where two examples go to a device, one has none."""
  x = reference.normal(shape, mean=3, std=2)
  mask = layers.unequal_mask(shape) if masked else None
  return x, reference.normal(shape, seed=9), mask


@functools.cache
def variables_of(layer, shape):
  return layers.randomized(layer, inputs(shape, False)[0])


@functools.cache
def on_one_device(layer, shape=SHAPE, masked=True):
  variables = variables_of(layer, shape)
  return layers.compiled_step(layer, variables, *inputs(shape, masked))


def placed(layer, mesh, spec, shape=SHAPE, masked=True):
  """Variables on all devices, and inputs of which each has a part."""
  arrays = jax.device_put(inputs(shape, masked), NamedSharding(mesh, spec))
  variables = variables_of(layer, shape)
  return jax.device_put(variables, NamedSharding(mesh, P())), *arrays


def compiled(function, layer, *placing):
  """The program of function(layer, ...), and its arguments: see `placed`."""
  arguments = placed(layer, *placing)
  jitted = jax.jit(functools.partial(function, layer))
  return jitted.lower(*arguments).compile(), arguments


def forward(layer, variables, x, cotangent, mask=None):
  del cotangent
  return layers.train(layer, variables, x, mask)


@pytest.fixture(
  scope='module',
  params=[
    *((name, AxisType.Auto) for name in norms.NORMS),
    *((name, AxisType.Explicit) for name in layers.AVERAGING),
  ],
  ids=lambda param: f'{param[0]}-{param[1].name}',
)
def sharded(request):
  """A norm's name, and a training step of it on eight devices."""
  name, kind = request.param
  mesh = layers.mesh(kind, data=8)
  return name, *compiled(layers.step, layers.make(name), mesh, P('data'))


def test_eight_devices_compute_what_one_does(sharded):
  name, program, arguments = sharded
  outputs = program(*arguments)
  for key in ('y', 'x'):
    assert outputs[key].sharding.shard_shape(SHAPE) == (2, *SHAPE[1:])
  layers.assert_close(outputs, on_one_device(layers.make(name)))


def test_devices_share_sums_only(sharded):
  name, program, _ = sharded
  found = layers.collectives(program)
  assert set(found) <= {'all-reduce'}
  # One for the gradients of all parameters.
  if name not in layers.AVERAGING:
    assert found['all-reduce'] <= 1


# shape, masked, fields, and the axes of the mesh that share the batch.
ONE_AXIS, TWO_AXES = {'data': 8}, {'data': 4, 'model': 2}
BATCHES = {
  'vectors': ((8, 3), False, {}, ONE_AXIS),
  'masked_vectors': ((200, 3), True, {}, ONE_AXIS),
  'images': ((24, 2, 3, 4), True, {}, ONE_AXIS),
  'channels_first': ((16, 4, 2, 3), False, {'axis': 1}, ONE_AXIS),
  'two_feature_axes': ((16, 2, 3, 4), True, {'axis': (1, -1)}, ONE_AXIS),
  'two_mesh_axes': ((16, 3, 4), True, {}, TWO_AXES),
}


@layers.both_kinds_of_axes
@pytest.mark.parametrize('case', BATCHES)
def test_batch_norm_needs_one_all_reduce_each_way(case, kind):
  shape, masked, fields, axes = BATCHES[case]
  layer, mesh = layers.make('batch', **fields), layers.mesh(kind, **axes)
  program, arguments = compiled(
    layers.step, layer, mesh, P(tuple(axes)), shape, masked
  )
  assert layers.collectives(program) == {'all-reduce': 2}
  layers.assert_close(program(*arguments), on_one_device(layer, shape, masked))


@layers.both_kinds_of_axes
@pytest.mark.parametrize('masked', [False, True])
def test_batch_norm_needs_one_all_reduce_forward(masked, kind):
  mesh, layer = layers.mesh(kind, data=8), layers.make('batch')
  program, _ = compiled(forward, layer, mesh, P('data'), SHAPE, masked)
  assert layers.collectives(program) == {'all-reduce': 1}


# Of images, space or features.
with_another_axis = pytest.mark.parametrize(
  'spec', [P('data', 'model'), P('data', None, None, 'model')]
)


@layers.both_kinds_of_axes
@pytest.mark.parametrize('masked', [False, True])
@with_another_axis
def test_devices_may_share_space_or_features_too(spec, masked, kind):
  layer, shape = layers.make('batch'), (4, 4, 3, 6)
  mesh = layers.mesh(kind, **TWO_AXES)
  program, arguments = compiled(layers.step, layer, mesh, spec, shape, masked)
  layers.assert_close(program(*arguments), on_one_device(layer, shape, masked))


@pytest.mark.parametrize('name', norms.ACTIVATION_NORMS)
@pytest.mark.parametrize('mask', ['none', 'of_values', 'of_examples'])
@with_another_axis
def test_every_norm_takes_inputs_of_which_another_axis_is_sharded(
  name, mask, spec
):
  # Explicit axes are part of the types: what does not fit is an error here.
  layer, shape = layers.make(name), (4, 4, 3, 8)
  mesh = layers.mesh(AxisType.Explicit, **TWO_AXES)
  *arguments, values = placed(layer, mesh, spec, shape, mask != 'none')
  if mask == 'of_examples':
    values = values.any((1, 2, 3), keepdims=True)
  step = functools.partial(layers.step, layer)
  outputs = jax.eval_shape(step, *arguments, values)
  assert tuple(outputs['x'].sharding.spec)[: len(spec)] == tuple(spec)


@layers.both_kinds_of_axes
@pytest.mark.parametrize('devices', [2, 8])
@pytest.mark.parametrize('size', [2, 4])
def test_ghost_batches_are_the_same_on_any_number_of_devices(
  size, devices, kind
):
  layer = layers.make('batch', ghost_batch_size=size)
  program, arguments = compiled(
    layers.step, layer, layers.mesh(kind, data=devices), P('data')
  )
  outputs = program(*arguments)
  assert len(outputs['y'].sharding.device_set) == devices
  layers.assert_close(outputs, on_one_device(layer))


@layers.both_kinds_of_axes
def test_a_sharded_batch_may_have_a_mask_that_is_not(kind):
  layer = BatchNorm(use_running_average=False)
  x, _, _ = inputs(SHAPE, False)
  mask = np.array([True, True, False, True])  # A channel without any value.
  variables = layer.init(jax.random.key(0), x)

  @jax.jit
  def run(x):
    return layer.apply(variables, x, mask=mask, mutable=['batch_stats'])

  batch = NamedSharding(layers.mesh(kind, data=8), P('data'))
  layers.assert_close(run(jax.device_put(x, batch)), run(jnp.asarray(x)))
