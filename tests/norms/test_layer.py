import norms_reference as reference
import numpy as np
import pytest

from normlab.norms import LayerNorm

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
