"""Dropout with a rate that is known, or an argument of the program."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from normlab.models.ops.dropout import Dropout

KEY = jax.random.key(3)
X = np.random.default_rng(0).normal(size=(8, 33)).astype(np.float32)


class Ours(nn.Module):
  rate: float | jax.Array

  @nn.compact
  def __call__(self, x):
    return Dropout(self.rate, name='dropout')(x, train=True)


class Theirs(nn.Module):
  rate: float

  @nn.compact
  def __call__(self, x):
    return nn.Dropout(self.rate, deterministic=False, name='dropout')(x)


@functools.partial(jax.jit, static_argnums=(0, 1))
def with_constant(module, rate, x):
  return module(rate).apply({}, x, rngs={'dropout': KEY})


@jax.jit
def with_argument(rate, x):
  return Ours(rate).apply({}, x, rngs={'dropout': KEY})


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize('rate', [0.0, 0.3])
def test_bits_are_those_of_flax(rate, dtype):
  x = jnp.asarray(X, dtype)
  expected = with_constant(Theirs, rate, x)
  ours = with_constant(Ours, rate, x)
  assert ours.dtype == dtype
  np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize('rate', [0.0, 0.3])
def test_a_rate_that_is_an_argument_drops_the_same_values(rate, dtype):
  """Of the others, a division by a constant may be rounded otherwise."""
  x = jnp.asarray(X, dtype)
  expected, ours = with_constant(Theirs, rate, x), with_argument(rate, x)
  assert ours.dtype == dtype
  np.testing.assert_array_equal(ours == 0, expected == 0)
  tolerance = float(jnp.finfo(dtype).eps)
  np.testing.assert_allclose(
    np.float32(ours), np.float32(expected), rtol=tolerance
  )


def test_inference_is_the_input_and_needs_no_key():
  x = jnp.asarray(X)
  assert Dropout(0.5).apply({}, x, train=False) is x
  assert Dropout(jnp.float32(0.5)).apply({}, x, train=False) is x


def test_nothing_is_drawn_for_a_rate_of_zero():
  x = jnp.asarray(X)
  assert Dropout(0.0).apply({}, x, train=True) is x
