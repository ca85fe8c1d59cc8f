import norms_reference as reference
import numpy as np
import pytest

from normlab.norms import GroupNorm, LayerNorm

SHAPE = (2, 3, 2, 4)


@pytest.mark.parametrize('reduction_axes', [-1, (1, 2, 3), (-1, 1), (0,)])
@pytest.mark.parametrize('feature_axes', [-1, (1, 3)])
def test_equals_the_float64_reference(reduction_axes, feature_axes):
  layer = LayerNorm(reduction_axes=reduction_axes, feature_axes=feature_axes)
  x = reference.normal(SHAPE, mean=3, std=2)
  variables = reference.randomized(layer, x)
  axes = [a % 4 for a in np.atleast_1d(reduction_axes)]
  features = [a % 4 for a in np.atleast_1d(feature_axes)]
  shape = [SHAPE[a] if a in features else 1 for a in range(4)]
  scale, bias = (
    np.reshape(variables['params'][key], shape) for key in ('scale', 'bias')
  )
  desired = reference.standardized(x, axes, epsilon=1e-6) * scale + bias
  y, _ = reference.train(layer, variables, x)
  np.testing.assert_allclose(y, desired, rtol=1e-4, atol=1e-5)


def test_by_default_images_are_normalized_per_position():
  x = reference.normal(SHAPE, mean=3)
  layer = LayerNorm(use_scale=False, use_bias=False)
  y = layer.apply({}, x)
  np.testing.assert_allclose(y.mean(-1), 0, atol=1e-5)
  np.testing.assert_allclose(y.std(-1), 1, rtol=1e-3)


def test_over_the_whole_example_it_is_group_norm_of_one_group():
  layer = LayerNorm(reduction_axes=(1, 2, 3))
  x = reference.normal(SHAPE, mean=3)
  variables = reference.randomized(layer, x)
  y, _ = reference.train(layer, variables, x)
  desired, _ = reference.train(GroupNorm(num_groups=1), variables, x)
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-5)


def test_one_example_does_not_depend_on_the_others():
  layer = LayerNorm()
  x = reference.normal(SHAPE)
  other = np.concatenate([x[:1], 9 * x[1:] + 5])
  variables = reference.randomized(layer, x)
  y, _ = reference.train(layer, variables, x)
  changed, _ = reference.train(layer, variables, other)
  np.testing.assert_array_equal(y[0], changed[0])
  assert (y[1] != changed[1]).any()


@pytest.mark.parametrize('field', ['reduction_axes', 'feature_axes'])
def test_an_axis_that_the_input_lacks_is_an_error(field):
  layer = LayerNorm(**{field: 4})
  with pytest.raises(ValueError, match=f'LayerNorm: {field}=4 .*-4 to 3'):
    reference.randomized(layer, reference.normal(SHAPE))
