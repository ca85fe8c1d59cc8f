import norms_reference as reference
import numpy as np
import pytest

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


def test_the_mode_may_be_given_to_the_constructor():
  x = reference.normal((4, 3), mean=2)
  variables = reference.randomized(BatchNorm(), x)
  np.testing.assert_array_equal(
    BatchNorm(True).apply(variables, x),
    BatchNorm().apply(variables, x, True),
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
