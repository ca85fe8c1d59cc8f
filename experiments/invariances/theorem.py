"""Theorem 4.1 of 1805.11604: the gradient norm that BatchNorm leaves."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.invariances.arms import (
  CASES,
  EPSILON,
  PRINTED,
  THEOREM,
  UNITS,
)
from normlab import norms


@jax.jit
def sides(
  y: jax.Array, scale: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The two sides of Theorem 4.1 of 1805.11604, for some loss of z.

  z = scale * y_hat, y_hat the normalized y, s its deviation and g the gradient
  for z. The gradient for y then has the squared length
  scale^2 / s^2 (|g|^2 - <1, g>^2 / m - c <g, y_hat>^2).

  Args:
    y: [m, units], the input of BatchNorm.
    scale: [units].

  Returns:
    The squared length of the gradient for each unit; then the right side with
    c = 1/m, and with c = 1/sqrt(m), as printed.
  """
  layer = norms.BatchNorm(epsilon=EPSILON, use_bias=False)

  def normalized(y: jax.Array, scale: jax.Array) -> jax.Array:
    variables = {'params': {'scale': scale}}
    return layer.apply(variables, y, False, mutable=['batch_stats'])[0]

  def loss(z: jax.Array) -> jax.Array:
    return (jnp.sin(z) + z**3 / 9).sum()

  m = len(y)
  y_hat = normalized(y, jnp.ones_like(scale))
  g = jax.grad(loss)(normalized(y, scale))
  of_y = jax.grad(lambda y: loss(normalized(y, scale)))(y)
  factor = scale**2 / y.var(0)
  shared = (g**2).sum(0) - g.sum(0) ** 2 / m
  along = (g * y_hat).sum(0) ** 2
  return (
    (of_y**2).sum(0),
    factor * (shared - along / m),
    factor * (shared - along / m**0.5),
  )


def excess(seed: int) -> dict[str, float]:
  """The largest (left - right) / left over units, by arm."""
  generator = np.random.default_rng(seed)
  y = generator.normal(0.5, 2, (CASES, UNITS))
  left, *right = map(np.asarray, sides(y, generator.uniform(0.2, 3, UNITS)))
  return {
    arm: float(max((left - side) / left, key=abs))
    for arm, side in zip((THEOREM, PRINTED), right, strict=True)
  }
