import hypothesis
import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
from hypothesis import strategies as st

from normlab.norms.core.moments import moments
from normlab.norms.core.pooling import Moments, abs_square, pool, pool_devices

# One program a shape instead of twenty small ones.
compiled = jax.jit(moments, static_argnames=('axes', 'center'))


@reference.FEW
@hypothesis.given(
  st.integers(0, 99), st.sampled_from([0, 1e4]), st.sampled_from([0, 0.5, 2])
)
def test_pooled_parts_equal_the_union(seed, mean, threshold):
  x = reference.normal((3, 4, 2), seed, mean=mean)
  mask = reference.normal((3, 4, 2), seed + 1) > threshold
  parts = compiled(x, (1,), mask=mask)
  # The means of the parts are rounded: three digits on 1e4.
  tolerance = {'rtol': 2e-3, 'atol': 2e-5} if mean else {}
  reference.assert_moments_close(pool(parts, [0]), x, (0, 1), mask, **tolerance)


def test_pooling_without_a_mask_keeps_the_count_a_number():
  x = reference.normal((3, 4, 2), mean=3)
  result = pool(moments(x, (1,)), [0])
  assert isinstance(result.count, float)
  reference.assert_moments_close(result, x, (0, 1))


def test_pooled_variance_has_the_gradient_of_the_union():
  x = reference.normal((3, 4))
  union = jax.jit(lambda x: pool(moments(x, (1,)), [0]).var.sum())
  gradient = jax.grad(union)(x)
  np.testing.assert_allclose(gradient, 2 * (x - x.mean()) / 12, atol=1e-6)


@reference.FEW
@hypothesis.given(st.floats(1, 1e5, width=32))
def test_a_constant_pools_to_its_own_value_and_variance_zero(value):
  # A third is not a float: a sum of thirds of the means is off by a rounding,
  # which on a large mean is no less than the root of any epsilon.
  parts = Moments(
    jnp.full((3, 2), value), jnp.zeros((3, 2)), jnp.full((3, 2), 5.0)
  )
  result = pool(parts, [0])
  np.testing.assert_array_equal(result.mean, np.float32(value))
  rounding = np.spacing(np.float32(value))
  assert (result.var <= (1e-3 * rounding) ** 2).all()


def test_devices_with_unequal_masks_join_by_their_counts():
  x = reference.normal((4, 5, 2), mean=3)
  x[0] += 10
  mask = np.ones((4, 5, 2), bool)
  mask[0, 1:] = False
  mask[1] = False  # A device without any value.

  def join(x, mask):
    part = moments(x, (0,), mask=mask)
    return pool_devices(part, 'devices'), jax.lax.pmean(part.mean, 'devices')

  joined, naive = jax.jit(jax.vmap(join, axis_name='devices'))(x, mask)
  mean, var, count = reference.moments(x, (0, 1), mask)
  for device in range(4):
    np.testing.assert_allclose(joined.mean[device], mean[0], rtol=1e-6)
    np.testing.assert_allclose(joined.var[device], var[0], rtol=1e-5)
    np.testing.assert_array_equal(joined.count[device], count[0])
  assert abs(naive[0] - mean[0]).max() > 0.5  # Else this test could not tell.


def test_devices_join_without_a_mask():
  x = reference.normal((4, 5), mean=1e4)

  def join(x):
    return pool_devices(moments(x, (0,)), 'devices')

  joined = jax.jit(jax.vmap(join, axis_name='devices'))(x)
  mean, var, _ = reference.moments(x, (0, 1))
  np.testing.assert_allclose(joined.mean[0], mean[0], rtol=1e-7)
  np.testing.assert_allclose(joined.var[0], var[0], rtol=2e-3)
  np.testing.assert_array_equal(joined.count, 20)


def test_abs_square_of_complex_values_is_real():
  result = abs_square(jnp.array([3 + 4j, -2j], jnp.complex64))
  assert result.dtype == jnp.float32
  np.testing.assert_allclose(result, [25, 4])
