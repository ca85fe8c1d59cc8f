"""Forms of a convolution side by side, for the tests of both files."""

import functools

import jax
import jax.numpy as jnp
import numpy as np


def arrays(*shapes, seed=0):
  generator = np.random.default_rng(seed)
  return [jnp.asarray(generator.normal(size=s), jnp.float32) for s in shapes]


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def values_and_gradients(functions, x, kernel, strides, padding):
  """Of each function the value, and the gradients of a sum of its sines."""

  def loss(function, x, kernel):
    y = function(x, kernel, strides, padding)
    return jnp.sin(y).sum(), y

  gradient = jax.grad(loss, argnums=(1, 2), has_aux=True)
  return [gradient(function, x, kernel) for function in functions]


def assert_equal(results):
  """That all are the first; rounding is relative to the terms of a sum."""

  def check(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=3e-6 * jnp.abs(b).max())

  for result in results[1:]:
    jax.tree.map(check, result, results[0])
