import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from normlab.models.ops import pools


def flax_max_pool(x):
  return nn.max_pool(x, (3, 3), strides=(2, 2), padding='SAME')


@jax.jit
def pools_and_gradients(x, weights):
  def weighted(pool, x):
    y = pool(x)
    return (y * weights[:, : y.shape[1], : y.shape[2]]).sum(), y

  gradient = jax.grad(weighted, argnums=1, has_aux=True)
  return gradient(pools.max_pool, x), gradient(flax_max_pool, x)


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**16))
@settings(max_examples=8, deadline=None)
def test_max_pool_is_that_of_flax(height, width, seed):
  generator = np.random.default_rng(seed)
  shape = (2, height, width, 2)
  # Distinct values, half of them negative: the padding must never win.
  values = generator.permutation(np.prod(shape)) - np.prod(shape) / 2
  x = values.reshape(shape).astype(np.float32)
  weights = generator.normal(size=shape).astype(np.float32)
  (ours, y), (theirs, expected) = pools_and_gradients(x, weights)
  np.testing.assert_array_equal(y, expected)
  np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def windows(size, strides, symmetric):
  """Of each window the slice inside the image, by the definition."""
  out = -(-size // strides)
  front = 1 if symmetric else max(strides * (out - 1) + 3 - size, 0) // 2
  starts = [strides * i - front for i in range(out)]
  return [slice(max(start, 0), start + 3) for start in starts]


def pooled(x, reduce, strides=1, symmetric=False):
  rows, columns = (windows(n, strides, symmetric) for n in x.shape[1:3])
  return np.stack(
    [
      np.stack([reduce(x[:, r, c], axis=(1, 2)) for c in columns], axis=1)
      for r in rows
    ],
    axis=1,
  )


def image(height, width):
  generator = np.random.default_rng(height)
  return generator.normal(-3, 1, (2, height, width, 2)).astype(np.float32)


@pytest.mark.parametrize('height, width', [(4, 5), (1, 2)])
@pytest.mark.parametrize('strides, symmetric', [(1, False), (2, True)])
def test_max_pool_is_the_maximum_of_each_window(
  height, width, strides, symmetric
):
  x = image(height, width)
  y = pools.max_pool(x, strides=strides, symmetric=symmetric)
  np.testing.assert_array_equal(y, pooled(x, np.max, strides, symmetric))


@pytest.mark.parametrize('height, width', [(4, 5), (1, 2)])
def test_mean_pool_is_the_mean_of_each_window_without_padding(height, width):
  x = image(height, width)
  np.testing.assert_allclose(pools.mean_pool(x), pooled(x, np.mean), rtol=1e-5)


def test_mean_pool_rounds_bfloat16_once():
  x = jnp.asarray(image(4, 4), jnp.bfloat16)
  y = pools.mean_pool(x)
  assert y.dtype == jnp.bfloat16
  exact = pools.mean_pool(x.astype(jnp.float32))
  np.testing.assert_array_equal(y, exact.astype(jnp.bfloat16))
