"""Percentiles and histograms of large arrays, without sorting them.

On two CPU cores XLA sorts three million values in 2.5 s.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# Eighths from -8 to 8, exact in binary; two bins beyond have no end.
EDGES = np.linspace(-8, 8, 129, dtype=np.float32)


def percentiles(x: jax.Array, percents: tuple[int, ...]) -> jax.Array:
  """The smallest value that so many percent of all values do not exceed.

  As `np.percentile(method='inverted_cdf')`: one of the values, in float32. By
  bisection on their bits, 32 passes over the array.

  Args:
    x: of any shape, float32 or less precise, without NaN.
    percents: above 0, to 100.
  """
  bits = _ordered(lax.bitcast_convert_type(x.astype(jnp.float32), jnp.int32))
  bits = bits.reshape(-1, 1)
  ranks = jnp.array([-(-len(bits) * percent // 100) for percent in percents])

  def halve(
    _: jax.Array, ends: tuple[jax.Array, jax.Array]
  ) -> tuple[jax.Array, jax.Array]:
    low, high = ends
    middle = (low & high) + ((low ^ high) >> 1)  # Their sum would overflow.
    enough = (bits <= middle).sum(0) >= ranks
    return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

  integers = jnp.iinfo(jnp.int32)
  ends = (jnp.full_like(ranks, limit) for limit in (integers.min, integers.max))
  found, _ = lax.fori_loop(0, 32, halve, tuple(ends))
  return lax.bitcast_convert_type(_ordered(found), jnp.float32)


def _ordered(bits: jax.Array) -> jax.Array:
  """Bits of float32 as integers of the same order, and back.

  Of negative numbers the larger have the smaller bits.
  """
  return jnp.where(bits < 0, bits ^ jnp.iinfo(jnp.int32).max, bits)


def histogram(x: jax.Array) -> jax.Array:
  """Counts of values, int32 [1 + len(EDGES)].

  The bins are (-inf, EDGES[0]), [EDGES[i], EDGES[i + 1]), [EDGES[-1], inf).
  """
  width, last = EDGES[1] - EDGES[0], len(EDGES)
  bins = jnp.floor((x.astype(jnp.float32) - EDGES[0]) / width) + 1
  bins = jnp.clip(bins, 0, last).astype(jnp.int32).ravel()
  return jnp.zeros(last + 1, jnp.int32).at[bins].add(1)
