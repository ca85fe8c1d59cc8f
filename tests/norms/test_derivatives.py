"""Derivatives of every norm: forward, backward, and of second order."""

import jax
import jax.numpy as jnp
import norms_layers as layers
import numpy as np
import pytest
from norms_layers import COTANGENT, MASK, X


@pytest.mark.slow
@layers.every_norm
def test_derivatives_of_all_orders_and_modes_agree(name):
  """For parameters and input together, along random directions u and v.

  The gradient G of the loss agrees with forward mode, <G, v> = d loss(v), and
  its derivative H with its own transpose, <u, H v> = <H' u, v>. H need not be
  symmetric: what BatchRenorm and SpectralNorm stop is no gradient of anything.
  """
  layer, variables = layers.ready(name)
  point = (variables.get('params', {}), jnp.asarray(X))

  def loss(params, x):
    y, _ = layers.train(layer, {**variables, 'params': params}, x, MASK)
    return (jnp.sin(y) * COTANGENT).sum()

  def direction(seed):
    generator = np.random.default_rng(seed)
    return jax.tree.map(
      lambda leaf: jnp.asarray(generator.normal(size=leaf.shape), leaf.dtype),
      point,
    )

  @jax.jit
  def products(point, u, v):
    gradient = jax.grad(loss, (0, 1))
    _, slope = jax.jvp(loss, point, v)
    reverse, change = jax.jvp(gradient, point, v)
    _, transpose = jax.vjp(gradient, *point)
    return {
      'first': (slope, inner(reverse, v)),
      'second': (inner(u, change), inner(transpose(u), v)),
      'sizes': (length(reverse) * length(v), length(u) * length(change)),
    }

  found = products(point, direction(1), direction(2))
  for order, size in zip(('first', 'second'), found['sizes'], strict=True):
    one, other = found[order]
    assert np.isfinite(one)
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * size)
    assert abs(one) > 1e-4 * size


def inner(a, b):
  """The sum of products over two trees."""
  return sum(jax.tree.leaves(jax.tree.map(lambda a, b: (a * b).sum(), a, b)))


def length(tree):
  return jnp.sqrt(inner(tree, tree))
