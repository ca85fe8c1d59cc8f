"""One mesh: what lies on which of the eight simulated devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from normlab import errors, validation
from normlab.runtime import devices
from normlab.training import compiled_calls, preparation


def make_config(**fields):
  config = base.get_config()
  config.update_from_flattened_dict(fields)
  return config


@pytest.mark.parametrize(
  'batch_size, microbatches, expected',
  [
    (32, 1, 8),
    (12, 1, 6),
    (7, 1, 7),
    (11, 1, 1),
    (3, 1, 3),
    (1, 1, 1),
    # It is the microbatch that is shared.
    (32, 8, 4),
    (32, 32, 1),
  ],
)
def test_as_many_devices_as_divide_a_microbatch_are_used(
  batch_size, microbatches, expected
):
  config = make_config(batch_size=batch_size, microbatches=microbatches)
  assert devices.count(config) == expected


def test_more_devices_than_there_are_is_a_config_error():
  with pytest.raises(errors.ConfigError) as error:
    devices.count(make_config(num_devices=9))
  assert str(error.value) == (
    'config.num_devices=9 is not allowed: must be from 1 to 8, the devices '
    'there are'
  )


@pytest.mark.parametrize('number', [1, 3, 8])
def test_mesh_has_the_first_devices(number):
  mesh = devices.mesh(number)
  assert mesh.axis_names == (devices.AXIS,)
  assert list(mesh.devices) == jax.devices()[:number]


def on_each_device(array):
  return {shard.device: shard.data for shard in array.addressable_shards}


def test_batch_is_divided_in_the_order_of_the_devices():
  mesh = devices.mesh(4)
  batch = {'images': np.arange(24).reshape(8, 3), 'labels': np.arange(8)}
  sharded = devices.shard(batch, mesh)
  for name, whole in batch.items():
    np.testing.assert_array_equal(sharded[name], whole)
    parts = on_each_device(sharded[name])
    for i, device in enumerate(mesh.devices):
      np.testing.assert_array_equal(parts[device], whole[2 * i : 2 * i + 2])


def test_every_device_has_a_replicated_array_whole():
  mesh, key = devices.mesh(8), jax.random.key(3)
  array, copied = devices.replicate((np.arange(5.0), key), mesh)
  parts = on_each_device(array)
  assert set(parts) == set(jax.devices())
  for part in parts.values():
    np.testing.assert_array_equal(part, np.arange(5.0))
  assert copied.is_fully_replicated
  assert (jax.random.key_data(copied) == jax.random.key_data(key)).all()


@pytest.mark.parametrize(
  'size, number, expected', [(1, 8, 8), (8, 8, 8), (9, 8, 16), (5, 1, 5)]
)
def test_whole_shards_is_the_next_size_that_can_be_shared(
  size, number, expected
):
  assert devices.whole_shards(size, devices.mesh(number)) == expected


STEPS = 50


def prepare(num_devices, **fields):
  """A small network with batch norm, on the digits."""
  values = {
    'model.name': 'mlp',
    'model.widths': (8,),
    'num_devices': num_devices,
    'total_steps': STEPS,
  }
  return preparation.prepare(validation.check(make_config(**values, **fields)))


@functools.cache
def start():
  """The state before the first step, not on any device."""
  return jax.device_get(preparation.initial_state(prepare(1)))


def losses(num_devices, **fields):
  """Of the first steps, in one call."""
  ready = prepare(num_devices, **fields)
  state = devices.replicate(start(), ready.mesh)
  state, metrics = compiled_calls.run_steps(ready, state, 0, STEPS)
  used = {d for x in jax.tree.leaves(state) for d in x.sharding.device_set}
  assert len(used) == num_devices
  return np.array([of_step['loss'] for of_step in metrics.by_step()])


def test_every_device_starts_with_the_state_of_one():
  state = preparation.initial_state(prepare(8))
  for ours, theirs in zip(
    jax.tree.leaves(state), jax.tree.leaves(start()), strict=True
  ):
    assert ours.is_fully_replicated and len(ours.sharding.device_set) == 8
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
  'fields',
  [{}, {'norm.ghost_batch_size': 4}, {'microbatches': 2}],
  ids=['batch', 'ghost', 'microbatches'],
)
def test_eight_devices_have_the_losses_of_one(fields):
  one, eight = (losses(number, **fields) for number in (1, 8))
  np.testing.assert_allclose(eight, one, rtol=0, atol=1e-5)
  assert one[-5:].mean() < one[:5].mean()


def test_ghost_batches_are_the_statistics_of_each_device():
  """Which are not those of the whole batch."""
  ghost = losses(8, **{'norm.ghost_batch_size': 4})
  assert np.abs(ghost - losses(8)).max() > 1e-3


@pytest.mark.parametrize(
  'allocate, amount',
  [
    (lambda: jnp.zeros(2**55, np.uint8), '33,554,432.0 GiB'),
    (lambda: np.zeros(2**60, np.uint8), 'what it needs'),
  ],
  ids=['on a device', 'on the host'],
)
def test_memory_that_does_not_suffice_is_one_line(allocate, amount):
  with pytest.raises(errors.ConfigError) as error:
    with devices.enough_memory():
      allocate()
  (problem,) = error.value.problems
  assert problem.startswith(f'out of memory: {amount} could not be allocated; ')
  for way_out in ('batch size', 'model', 'config.microbatches'):
    assert way_out in problem


@pytest.mark.parametrize(
  'text',
  [
    'INTERNAL: Error dispatching computation: Out of memory allocating '
    '36000000000000 bytes.',
    'RESOURCE_EXHAUSTED: Out of memory while trying to allocate 36000000000000 '
    'bytes.\nBufferAssignment: ...',
  ],
)
def test_the_memory_that_is_lacking_is_said_in_gib(text):
  error = jax.errors.JaxRuntimeError(text)
  assert ' 33,527.6 GiB ' in devices.memory_problem(error)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
  assert not devices.memory_problem(ValueError('Out of memory'))
  assert not devices.memory_problem(jax.errors.JaxRuntimeError('INTERNAL'))
