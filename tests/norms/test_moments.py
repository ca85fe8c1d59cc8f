import hypothesis
import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from normlab.norms.core.moments import moments

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


@reference.FEW
@hypothesis.given(problems())
def test_moments_equal_the_float64_reference(problem):
  x, axes, mask = problem
  result = compiled(x, axes, mask=mask)
  assert result.mean.shape == result.var.shape
  reference.assert_moments_close(result, x, axes, mask)


@pytest.mark.parametrize('masked', [False, True])
def test_without_centring_the_variance_is_the_mean_square(masked):
  x = reference.normal((4, 3), mean=2)
  mask = reference.normal((4, 3), seed=1) > -0.5 if masked else None
  result = compiled(x, (0,), mask=mask, center=False)
  assert not result.mean.any()
  reference.assert_moments_close(result, x, (0,), mask, center=False)


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


def test_moments_differentiate_twice():
  # d2 var / dx2 = 2 (I - 1/n) / n, whatever the shift.
  x = reference.normal((3,), mean=5)
  hessian = jax.jit(jax.hessian(lambda x: moments(x, (0,)).var.sum()))(x)
  np.testing.assert_allclose(hessian, 2 / 3 * (np.eye(3) - 1 / 3), atol=1e-6)
