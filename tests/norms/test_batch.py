import functools

import jax
import norms_reference as reference
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from normlab.norms import BatchNorm

SHAPE = (6, 2, 3)
AXES = (0, 1)


@pytest.mark.parametrize(
  'shape, axis',
  [
    ((6, 3), -1),
    ((4, 2, 3), -1),
    ((4, 3, 2), 1),
    ((4, 2, 3), (0, 2)),
  ],
)
def test_training_equals_the_float64_reference(shape, axis):
  layer = BatchNorm(axis=axis, epsilon=1e-3)
  x = reference.normal(shape, mean=3, std=2)
  variables = reference.randomized(layer, x)
  features = {a % len(shape) for a in np.atleast_1d(axis).tolist()}
  reduced = [a for a in range(len(shape)) if a not in features]
  desired = reference.standardized(x, reduced, epsilon=1e-3)
  scale, bias = (
    np.expand_dims(variables['params'][key], reduced)
    for key in ('scale', 'bias')
  )
  y, _ = reference.train(layer, variables, x)
  np.testing.assert_allclose(y, desired * scale + bias, rtol=1e-5, atol=1e-5)


def test_inference_uses_the_running_statistics():
  layer = BatchNorm(epsilon=1e-3)
  x = reference.normal(SHAPE)
  variables = reference.randomized(layer, x)
  params, state = variables['params'], variables['batch_stats']
  desired = (x - state['mean']) / np.sqrt(state['var'] + 1e-3)
  np.testing.assert_allclose(
    reference.evaluate(layer, variables, x),
    desired * params['scale'] + params['bias'],
    rtol=1e-5,
    atol=1e-6,
  )


@pytest.mark.parametrize('momentum', [0.0, 0.9, 1.0])
def test_running_statistics_after_k_steps_are_the_closed_form(momentum):
  layer = BatchNorm(momentum=momentum)
  batches = [reference.normal(SHAPE, seed, mean=seed) for seed in range(4)]
  variables = before = reference.randomized(layer, batches[0])
  for x in batches:
    _, variables = reference.train(layer, variables, x)
  for index, key in enumerate(('mean', 'var')):
    desired = momentum ** len(batches) * before['batch_stats'][key]
    for age, x in enumerate(reversed(batches)):
      statistic = reference.moments(x, AXES)[index].squeeze(AXES)
      desired = desired + (1 - momentum) * momentum**age * statistic
    np.testing.assert_allclose(
      variables['batch_stats'][key], desired, rtol=1e-5, atol=1e-6
    )


def test_running_variance_is_the_biased_one():
  layer = BatchNorm(momentum=0.0)
  x = np.array([[0.0], [2.0]], np.float32)
  _, variables = reference.train(layer, reference.randomized(layer, x), x)
  assert variables['batch_stats']['var'] == 1


def test_masked_training_equals_training_on_the_valid_examples():
  layer = BatchNorm(momentum=0.5)
  x = reference.normal((6, 3))
  mask = np.array([1, 0, 1, 1, 0, 1], bool)
  variables = reference.randomized(layer, x)
  y, after = reference.train(layer, variables, x, mask=mask[:, None])
  desired, desired_after = reference.train(layer, variables, x[mask])
  np.testing.assert_allclose(y[mask], desired, rtol=1e-5, atol=1e-6)
  reference.assert_trees_close(
    after['batch_stats'], desired_after['batch_stats'], rtol=1e-5
  )


def test_a_channel_without_valid_values_keeps_its_running_statistics():
  layer = BatchNorm(momentum=0.5)
  x = reference.normal((6, 3))
  mask = np.array([True, False, True])
  variables = reference.randomized(layer, x)
  _, after = reference.train(layer, variables, x, mask=mask)
  for key in ('mean', 'var'):
    moved = after['batch_stats'][key] != variables['batch_stats'][key]
    assert moved.tolist() == [True, False, True]


@pytest.mark.parametrize(
  'field, argument, where',
  [
    (None, None, 'neither'),
    (False, True, 'both'),
    (True, True, 'both'),
  ],
)
def test_the_mode_is_given_in_exactly_one_place(field, argument, where):
  with pytest.raises(ValueError, match=f'use_running_average.*{where}'):
    BatchNorm(field).init(
      jax.random.key(0), np.ones((2, 3), np.float32), argument
    )


def test_the_mode_may_be_given_to_the_constructor():
  x = reference.normal((4, 3), mean=2)
  variables = reference.randomized(BatchNorm(), x)
  np.testing.assert_array_equal(
    BatchNorm(True).apply(variables, x),
    BatchNorm().apply(variables, x, True),
  )


@pytest.mark.parametrize('momentum', [-0.1, 1.1, 99, float('nan')])
def test_momentum_outside_0_to_1_is_an_error(momentum):
  with pytest.raises(ValueError, match=f'momentum={momentum}'):
    BatchNorm(False, momentum=momentum).init(
      jax.random.key(0), np.ones((2, 3), np.float32)
    )


@pytest.mark.parametrize('axis', [2, -3, (0, 5)])
def test_an_axis_that_the_input_lacks_is_an_error(axis):
  with pytest.raises(ValueError, match='axis=.*rank 2; allowed are -2 to 1'):
    BatchNorm(False, axis=axis).init(
      jax.random.key(0), np.ones((2, 3), np.float32)
    )


def test_axis_name_under_plain_jit_is_an_error_that_names_it():
  layer = BatchNorm(axis_name='devices')
  x = reference.normal((4, 3))
  variables = reference.randomized(layer, x)  # Here the axis need not exist.
  with pytest.raises(ValueError, match="axis_name='devices'.*leave"):
    reference.train(layer, variables, x)


def test_inference_does_not_need_the_mapped_axis():
  layer = BatchNorm(axis_name='devices')
  x = reference.normal((4, 3))
  variables = reference.randomized(layer, x)
  np.testing.assert_array_equal(
    reference.evaluate(layer, variables, x),
    reference.evaluate(BatchNorm(), variables, x),
  )


def mesh(size):
  devices = jax.devices()
  if len(devices) < size:
    pytest.skip(f'needs {size} devices')
  return Mesh(np.array(devices[:size]), ('devices',))


def unequal_batch(devices):
  """An input, and a mask that leaves each device another share of it."""
  x = reference.normal((2 * devices, 2, 3), mean=2)
  x[:2] += 3
  mask = reference.normal(x.shape, seed=1) > -0.5
  mask[0] = False
  mask[2:4] = False  # All that one device has.
  means = [
    reference.moments(part, AXES, part_mask)[0]
    for part, part_mask in zip(
      np.split(x, devices), np.split(mask, devices), strict=True
    )
  ]
  # Else a mean of the devices' means would pass for the mean.
  joined = reference.moments(x, AXES, mask)[0]
  assert abs(np.mean(means, 0) - joined).max() > 0.1
  return x, mask


def assert_equal_joined(run, x, mask):
  """Compares (y, state, gradient) of `run` with those on one device."""
  layer = BatchNorm(momentum=0.5)
  variables = reference.randomized(layer, x)
  cotangent = reference.normal(x.shape, seed=2)
  y, after, gradient = run(variables, x, mask, cotangent)
  desired, desired_after = reference.train(layer, variables, x, mask=mask)
  _, desired_gradient = reference.gradients(
    layer, variables, x, cotangent, mask=mask
  )
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(gradient, desired_gradient, rtol=1e-4, atol=1e-5)
  reference.assert_trees_close(
    jax.tree.map(np.asarray, after['batch_stats']),
    desired_after['batch_stats'],
    rtol=1e-5,
  )


def run_training(layer, variables, x, mask, cotangent):
  y, after = reference.train(layer, variables, x, mask=mask)
  _, gradient = reference.gradients(layer, variables, x, cotangent, mask=mask)
  return y, after, gradient


def test_vmap_with_unequal_masks_equals_the_joined_batch():
  devices = 4
  layer = BatchNorm(momentum=0.5, axis_name='devices')

  def run(variables, *arrays):
    split = [a.reshape(devices, -1, *a.shape[1:]) for a in arrays]
    # The sum of all devices' losses: psum's transpose adds the cotangents.
    y, after, gradient = jax.jit(
      jax.vmap(
        functools.partial(run_training, layer, variables), axis_name='devices'
      )
    )(*split)
    first = jax.tree.map(lambda leaf: leaf[0], dict(after))
    last = jax.tree.map(lambda leaf: leaf[-1], dict(after))
    reference.assert_trees_close(last, first, rtol=0)
    shape = arrays[0].shape
    return y.reshape(shape), first, gradient.reshape(shape)

  assert_equal_joined(run, *unequal_batch(devices))


def test_shard_map_with_unequal_masks_equals_the_joined_batch():
  devices = 4
  layer = BatchNorm(momentum=0.5, axis_name='devices')
  split = PartitionSpec('devices')

  def run(variables, *arrays):
    return jax.jit(
      jax.shard_map(
        functools.partial(run_training, layer),
        mesh=mesh(devices),
        in_specs=(PartitionSpec(), split, split, split),
        out_specs=(split, PartitionSpec(), split),
      )
    )(variables, *arrays)

  assert_equal_joined(run, *unequal_batch(devices))


def test_devices_join_within_their_groups_only():
  layer = BatchNorm(
    momentum=0.5, axis_name='devices', axis_index_groups=((0, 1), (2, 3))
  )
  x, _ = unequal_batch(4)
  variables = reference.randomized(layer, x)
  split = PartitionSpec('devices')
  y = jax.jit(
    jax.shard_map(
      lambda x: reference.training(layer, variables, x)[0],
      mesh=mesh(4),
      in_specs=split,
      out_specs=split,
      check_vma=False,
    )
  )(x)
  for half in (slice(4), slice(4, 8)):
    desired, _ = reference.train(BatchNorm(), variables, x[half])
    np.testing.assert_allclose(y[half], desired, rtol=1e-5, atol=1e-5)


def test_a_batch_sharded_under_jit_has_global_statistics():
  devices = 8
  layer = BatchNorm(momentum=0.5)

  def run(variables, *arrays):
    sharding = NamedSharding(mesh(devices), PartitionSpec('devices'))
    arrays = [jax.device_put(a, sharding) for a in arrays]
    outputs = jax.jit(functools.partial(run_training, layer))(
      variables, *arrays
    )
    assert len(outputs[0].devices()) == devices
    return outputs

  assert_equal_joined(run, *unequal_batch(devices))
