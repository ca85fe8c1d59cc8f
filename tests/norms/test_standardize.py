import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest

from normlab.norms.core.moments import moments
from normlab.norms.core.pooling import Moments
from normlab.norms.core.standardize import standardize


def test_equals_the_float64_reference():
  x = reference.normal((5, 3), mean=2, std=3)
  scale = reference.normal((3,), seed=1)
  bias = reference.normal((3,), seed=2)
  y = standardize(x, moments(x, (0,)), epsilon=1e-3, scale=scale, bias=bias)
  desired = reference.standardized(x, (0,), epsilon=1e-3) * scale + bias
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('mean', [1e4, 1e6])
def test_the_mean_is_subtracted_before_anything_is_multiplied(mean):
  x = reference.normal((64,), mean=mean)
  statistics = Moments(jnp.array([mean]), jnp.array([2.0]), 64.0)
  desired = (x.astype(np.float64) - mean) / 2**0.5
  multiplier = np.float32(1 / 2**0.5)
  folded = x * multiplier - np.float32(mean) * multiplier
  assert abs(folded - desired).max() > 1e-4  # Else this test could not tell.
  y = standardize(x, statistics, epsilon=0)
  np.testing.assert_allclose(y, desired, rtol=1e-6)


@pytest.mark.parametrize('absent', ['scale', 'bias'])
def test_an_absent_scale_is_one_and_an_absent_bias_zero(absent):
  x = reference.normal((5, 3))
  neutral = {'scale': np.ones(3, np.float32), 'bias': np.zeros(3, np.float32)}
  affine = {'scale': reference.normal((3,)), 'bias': reference.normal((3,))}
  del affine[absent]
  statistics = moments(x, (0,))
  np.testing.assert_array_equal(
    standardize(x, statistics, epsilon=0.1, **affine),
    standardize(
      x, statistics, epsilon=0.1, **{**affine, absent: neutral[absent]}
    ),
  )


def test_epsilon_is_inside_the_root():
  statistics = Moments(jnp.array([1.0]), jnp.array([0.0]), 1.0)
  y = standardize(jnp.array([3.0]), statistics, epsilon=1e-4)
  np.testing.assert_allclose(y, [200], rtol=1e-6)


def test_half_precision_input_keeps_the_precision_of_the_statistics():
  x = jnp.array([1.0, 2.0], jnp.bfloat16)
  statistics = Moments(jnp.array([0.3]), jnp.array([2.0]), 2.0)
  y = standardize(x, statistics, epsilon=0)
  assert y.dtype == jnp.float32
  np.testing.assert_allclose(y, (np.array([1, 2]) - 0.3) / 2**0.5, rtol=1e-6)
