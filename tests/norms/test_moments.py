import hypothesis
import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.sharding import PartitionSpec

from normlab.norms import moments as moments_lib
from normlab.norms.moments import (
  Moments,
  moments,
  pool,
  pool_devices,
  running_average,
)

# One program a shape instead of twenty small ones.
compiled = jax.jit(moments, static_argnames=('axes', 'center'))


@st.composite
def problems(draw):
  """Values on an offset, axes to reduce, and a mask that broadcasts."""
  shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
  axes = draw(st.sets(st.integers(0, len(shape) - 1)))
  offset = draw(st.sampled_from([0, -30, 1e4]))
  mask = None
  if draw(st.booleans()):
    mask_shape = [draw(st.sampled_from([1, size])) for size in shape]
    mask = draw(hnp.arrays(bool, mask_shape))
  x = reference.normal(shape, draw(st.integers(0, 99)), mean=offset)
  return x, tuple(sorted(axes)), mask


def assert_equal_reference(
  actual, x, axes, mask=None, center=True, *, rtol=1e-4
):
  mean, var, count = reference.moments(x, axes, mask, center)
  np.testing.assert_allclose(actual.mean, mean, rtol=1e-6, atol=1e-6)
  np.testing.assert_allclose(actual.var, var, rtol=rtol, atol=1e-6)
  np.testing.assert_array_equal(
    np.broadcast_to(actual.count, count.shape), count
  )


@reference.FEW
@hypothesis.given(problems())
def test_moments_equal_the_float64_reference(problem):
  x, axes, mask = problem
  result = compiled(x, axes, mask=mask)
  assert result.mean.shape == result.var.shape
  assert_equal_reference(result, x, axes, mask)


@pytest.mark.parametrize('masked', [False, True])
def test_without_centring_the_variance_is_the_mean_square(masked):
  x = reference.normal((4, 3), mean=2)
  mask = reference.normal((4, 3), seed=1) > -0.5 if masked else None
  result = compiled(x, (0,), mask=mask, center=False)
  assert not result.mean.any()
  assert_equal_reference(result, x, (0,), mask, center=False)


@pytest.mark.parametrize('mean', [1e4, -1e4, 1e5])
def test_unit_variance_survives_a_large_mean(mean):
  x = reference.normal((512,), mean=mean)
  desired = np.var(x.astype(np.float64))
  naive = jnp.mean(x**2) - jnp.mean(x) ** 2
  assert abs(naive - desired) > 0.1  # Else this test could not tell.
  np.testing.assert_allclose(compiled(x, (0,)).var[0], desired, rtol=1e-3)


@reference.FEW
@hypothesis.given(
  st.floats(0.125, 1e6, width=32) | st.floats(-1e6, -0.125, width=32)
)
@hypothesis.example(966892.8)  # Its variance is rounded below zero.
def test_a_constant_has_its_own_value_as_mean_and_variance_zero(value):
  result = compiled(np.full((7,), value, np.float32), (0,))
  assert result.mean[0] == np.float32(value)
  # What the root of a variance may be off by, beside one rounding of the mean.
  rounding = np.spacing(np.float32(abs(value)))
  assert 0 <= result.var[0] <= (1e-3 * rounding) ** 2


def test_an_entry_without_values_is_neutral():
  x = reference.normal((2, 3))
  mask = np.array([[True, False, True], [True, False, False]])
  result = moments(x, (0,), mask=mask)
  assert result.count.tolist() == [[2, 0, 1]]
  assert result.mean[0, 1] == 0
  assert result.var[0, 1] == 1


def test_values_under_the_mask_do_not_matter():
  x = reference.normal((4, 3))
  mask = reference.normal((4, 3), seed=1) > 0
  assert 0 < mask.sum() < mask.size
  other = np.where(mask, x, 77)
  for a, b in zip(
    compiled(x, (0,), mask=mask), compiled(other, (0,), mask=mask), strict=True
  ):
    np.testing.assert_array_equal(a, b)


def test_no_axes_give_each_value_statistics_of_its_own():
  x = reference.normal((2, 3))
  result = moments(x, ())
  np.testing.assert_array_equal(result.mean, x)
  assert not result.var.any()
  assert result.count == 1


def test_variance_of_complex_values_is_real_and_counts_both_parts():
  x = reference.normal((5, 2)) + 1j * reference.normal((5, 2), seed=1) + 3
  result = moments(jnp.asarray(x, jnp.complex64), (0,))
  assert result.var.dtype == jnp.float32
  np.testing.assert_allclose(result.mean[0], x.mean(0), rtol=1e-5)
  np.testing.assert_allclose(result.var[0], x.var(0), rtol=1e-5)


def test_float64_stays_float64():
  with jax.enable_x64(True):
    x = np.random.default_rng(0).normal(1e6, 1, (50,))
    result = moments(jnp.asarray(x), (0,))
    assert result.var.dtype == jnp.float64
    np.testing.assert_allclose(result.var[0], x.var(), rtol=1e-9)


@pytest.mark.parametrize('mean', [0, 1e4])
def test_gradients_are_the_closed_forms(mean):
  x = reference.normal((6,), mean=mean)
  mask = np.array([True, True, False, True, True, False])
  n = 4
  average = x.astype(np.float64)[mask].mean()

  def statistic(x, index):
    return moments(x, (0,), mask=mask)[index].sum()

  gradient = jax.jit(jax.grad(statistic), static_argnums=1)
  np.testing.assert_allclose(gradient(x, 0), mask / n, rtol=1e-6)
  np.testing.assert_allclose(
    gradient(x, 1), mask * 2 * (x - average) / n, rtol=2e-3, atol=1e-6
  )


@reference.FEW
@hypothesis.given(
  st.integers(0, 99), st.sampled_from([0, 1e4]), st.sampled_from([0, 0.5, 2])
)
def test_pooled_parts_equal_the_union(seed, mean, threshold):
  x = reference.normal((3, 4, 2), seed, mean=mean)
  mask = reference.normal((3, 4, 2), seed + 1) > threshold
  parts = compiled(x, (1,), mask=mask)
  # The means of the parts are rounded: three digits on 1e4.
  rtol = 2e-3 if mean else 1e-4
  assert_equal_reference(pool(parts, [0]), x, (0, 1), mask, rtol=rtol)


def test_pooling_without_a_mask_keeps_the_count_a_number():
  x = reference.normal((3, 4, 2), mean=3)
  result = pool(moments(x, (1,)), [0])
  assert isinstance(result.count, float)
  assert_equal_reference(result, x, (0, 1))


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


def test_devices_without_any_value_join_to_neutral_statistics():
  mask = np.zeros(3, bool)

  def join(x):
    return pool_devices(moments(x, (0,), mask=mask), 'devices')

  x = np.ones((2, 3), np.float32)
  joined = jax.jit(jax.vmap(join, axis_name='devices'))(x)
  assert not joined.mean.any()
  assert (joined.var == 1).all()
  assert not joined.count.any()


def test_devices_join_within_their_groups_only():
  devices = jax.devices()
  if len(devices) < 4:
    pytest.skip('needs four devices')
  mesh = jax.sharding.Mesh(np.array(devices[:4]), ('devices',))
  spec = PartitionSpec('devices')

  def join(x):
    part = moments(x, (0,))
    joined = pool_devices(part, 'devices', [[0, 1], [2, 3]])
    return joined.mean, joined.var

  x = reference.normal((8, 1))
  mean, var = jax.shard_map(
    join, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False
  )(x)
  halves = x.reshape(2, 4)
  np.testing.assert_allclose(
    mean[:, 0], halves.mean(1).repeat(2), rtol=1e-5, atol=1e-6
  )
  np.testing.assert_allclose(var[:, 0], halves.var(1).repeat(2), rtol=1e-5)


def test_running_average_keeps_the_share_of_the_momentum():
  result = running_average(
    jnp.array([1.0, 2.0]), jnp.array([3.0, 7.0]), 0.75, 9.0
  )
  np.testing.assert_allclose(result, [1.5, 3.25])


@pytest.mark.parametrize('batch', [7.0, np.nan, np.inf])
def test_running_average_is_unchanged_where_there_was_no_value(batch):
  running = jnp.array([0.1, 0.1])
  result = running_average(
    running, jnp.array([batch, 1.1]), 0.9, jnp.array([0.0, 5.0])
  )
  assert result[0] == running[0]
  np.testing.assert_allclose(result[1], 0.2, rtol=1e-6)


@pytest.mark.parametrize('momentum', [0.0, 1.0])
def test_momentum_zero_takes_the_batch_and_one_keeps_the_running(momentum):
  result = running_average(jnp.array(2.0), jnp.array(5.0), momentum, 1.0)
  assert result == (2 if momentum else 5)


def test_abs_square_of_complex_values_is_real():
  result = moments_lib.abs_square(jnp.array([3 + 4j, -2j], jnp.complex64))
  assert result.dtype == jnp.float32
  np.testing.assert_allclose(result, [25, 4])


def test_moments_differentiate_twice():
  # d2 var / dx2 = 2 (I - 1/n) / n, whatever the shift.
  x = reference.normal((3,), mean=5)
  hessian = jax.jit(jax.hessian(lambda x: moments(x, (0,)).var.sum()))(x)
  np.testing.assert_allclose(hessian, 2 / 3 * (np.eye(3) - 1 / 3), atol=1e-6)
