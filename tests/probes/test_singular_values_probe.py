"""Singular values of kernels, against NumPy's decomposition."""

import jax.numpy as jnp
import numpy as np
import pytest
import small_runs

from normlab.probes import parameters, singular_values
from normlab.training import preparation


def svd(kernel):
  matrix = np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1])
  return np.linalg.svd(matrix, compute_uv=False)[0]


def measured(**fields):
  """The arrays of a run before its first step, and its kernels."""
  run = small_runs.prepared('cnn', **fields)
  state = preparation.initial_state(run)
  return (
    singular_values.measure(run, state, 0),
    parameters.kernels(state.params),
  )


@pytest.mark.parametrize('shape', [(3, 3, 2, 8), (4, 40), (40, 4), (1, 1)])
@pytest.mark.parametrize('size', [1e-25, 1.0, 1e25])
def test_the_largest_is_that_of_numpy(shape, size):
  kernel = np.random.default_rng(0).normal(0, 1, shape) * size
  found = singular_values.largest_singular_value(jnp.array(kernel, jnp.float32))
  np.testing.assert_allclose(found, svd(kernel), rtol=1e-5)


def test_of_a_kernel_of_zeros_it_is_zero():
  assert singular_values.largest_singular_value(jnp.zeros((3, 4))) == 0


def test_without_a_norm_of_kernels_there_is_the_largest_alone():
  found, kernels = measured(norm='batch')
  assert found.keys() == {f'largest/{path}' for path in kernels}
  for path, kernel in kernels.items():
    np.testing.assert_allclose(found[f'largest/{path}'], svd(kernel), rtol=1e-5)


def test_a_long_power_iteration_estimates_the_largest():
  found, kernels = measured(norm='spectral', **{'norm.n_steps': 100})
  for path in kernels:
    if path == 'logits/kernel':  # It has no norm.
      assert f'estimate/{path}' not in found
      continue
    largest = found[f'largest/{path}']
    np.testing.assert_allclose(found[f'estimate/{path}'], largest, rtol=1e-2)
    np.testing.assert_allclose(found[f'normalized/{path}'], 1, rtol=1e-2)


def test_one_step_estimates_too_little_and_the_normalized_kernel_shows_it():
  found, _ = measured(norm='spectral')
  for path in ('layer1/conv/kernel', 'layer2/conv/kernel'):
    largest, estimate = found[f'largest/{path}'], found[f'estimate/{path}']
    assert estimate < 0.99 * largest
    np.testing.assert_allclose(
      found[f'normalized/{path}'], largest / estimate, rtol=1e-5
    )


def test_the_normalized_kernel_is_the_one_that_the_norm_makes():
  found, kernels = measured(norm='weight_standardization')
  kernel = np.asarray(kernels['layer2/conv/kernel'], np.float64)
  centred = kernel - kernel.mean((0, 1, 2))
  standardized = centred / np.sqrt(centred.var((0, 1, 2)) + 1e-5)
  np.testing.assert_allclose(
    found['normalized/layer2/conv/kernel'], svd(standardized), rtol=1e-4
  )
  assert not [name for name in found if name.startswith('estimate/')]


def test_with_weight_norm_lengths_are_the_scales():
  found, kernels = measured(norm='weight')
  kernel = np.asarray(kernels['layer1/conv/kernel'], np.float64)
  unit = kernel / np.sqrt((kernel**2).sum((0, 1, 2)))
  np.testing.assert_allclose(
    found['normalized/layer1/conv/kernel'], svd(unit), rtol=1e-5
  )
