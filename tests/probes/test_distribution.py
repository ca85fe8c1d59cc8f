"""Percentiles and histograms, against those of NumPy."""

import hypothesis
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies
from hypothesis.extra import numpy as arrays

from normlab.probes import distribution

FEW = hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
# Subnormal numbers count as zero on accelerators.
floats = strategies.floats(
  width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False
)


@FEW
@hypothesis.given(
  x=arrays.arrays(
    np.float32, strategies.sampled_from([1, 2, 7]), elements=floats
  ),
  percent=strategies.integers(1, 100),
)
def test_a_percentile_is_that_of_numpy_and_one_of_the_values(x, percent):
  (found,) = distribution.percentiles(jnp.array(x), (percent,))
  assert found == np.percentile(x, percent, method='inverted_cdf')
  assert found in x


@pytest.mark.parametrize('offset', [-1e4, 0, 3.0])
def test_percentiles_of_many_values(offset):
  x = np.random.default_rng(0).normal(offset, 1, (50, 41)).astype(np.float32)
  found = distribution.percentiles(jnp.array(x), (15, 50, 85))
  np.testing.assert_array_equal(
    found, np.percentile(x, (15, 50, 85), method='inverted_cdf')
  )


def test_percentiles_of_half_precision_are_float32():
  x = jnp.arange(10, dtype=jnp.bfloat16)
  found = distribution.percentiles(x, (50, 100))
  assert found.dtype == jnp.float32 and found.tolist() == [4, 9]


def test_a_histogram_is_that_of_numpy_with_open_ends():
  generator = np.random.default_rng(0)
  x = generator.normal(0, 5, (100, 30)).astype(np.float32)
  # Values on edges belong to the bin that they begin.
  x[0] = generator.choice(distribution.EDGES, 30)
  found = distribution.histogram(jnp.array(x))
  limits = [-np.inf, *distribution.EDGES, np.inf]
  expected = [
    ((low <= x) & (x < high)).sum()
    for low, high in zip(limits, limits[1:], strict=False)
  ]
  np.testing.assert_array_equal(found, expected)
  assert found[0] > 0 < found[-1]


@pytest.mark.parametrize('value, bin', [(-1e30, 0), (-8, 1), (0, 65), (8, -1)])
def test_a_value_is_counted_once(value, bin):
  found = distribution.histogram(jnp.full((3, 2), value, jnp.float32))
  assert found[bin] == 6 == found.sum()
