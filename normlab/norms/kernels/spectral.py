"""Spectral normalization (Miyato et al. 2018, arXiv:1802.05957)."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from normlab.norms.kernels import kernel_norms


class SpectralNorm(kernel_norms.KernelNorm):
  """W / sigma(W), sigma the largest singular value (eq. 8).

  sigma is estimated by power iteration (algorithm 1) from a vector u that is
  kept from call to call, so that one step a call is enough. A kernel of rank 3
  and more is the matrix [everything else, outputs].

  Drop-in for `flax.linen.SpectralNorm`: the same fields, defaults, parameters
  and state (`<layer>/kernel/u`, [1, outputs], and `<layer>/kernel/sigma`). It
  differs in four points: the raw kernel is never overwritten by the normalized
  one; initialization leaves u and sigma at their initial values; a kernel that
  is all zero or not finite leaves them as they were; and n_steps below 1 is an
  error, not a norm that does nothing. As there, every call takes `n_steps`
  from the stored u, in inference too: `update_stats` says whether the result is
  stored, and must be given in the call.

  Attributes:
    n_steps: of the power iteration in a call.
    epsilon: added to squared lengths before the root, so that zero vectors
      stay finite.
    dtype: of the normalized kernel; None takes it from kernel and param_dtype.
    param_dtype: of `u` and `sigma`; they are float32 at least.
    error_on_non_matrix: rejects kernels of rank 3 and more.
    collection_name: of the state.
  """

  n_steps: int = 1
  epsilon: float = 1e-12
  dtype: Any = None
  param_dtype: Any = jnp.float32
  error_on_non_matrix: bool = False
  collection_name: str = 'batch_stats'

  def check(self, update_stats: bool | None) -> None:
    """Rejects n_steps below 1, a negative epsilon, and no `update_stats`."""
    self.require('n_steps', self.n_steps >= 1, 'be 1 or more')
    self.check_epsilon()
    if update_stats is None:
      raise ValueError(
        'SpectralNorm: update_stats=None must be given in the call: True to '
        'train, False for inference'
      )

  def selects(self, path: str, value: jax.Array) -> bool:
    """Every matrix, whatever its name."""
    del path
    return value.ndim >= 2

  def wanted(self) -> str:
    """Says what a matrix is."""
    return 'a kernel, or another parameter of rank 2 or more,'

  def transformed(
    self, path: str, value: jax.Array, update_stats: bool | None
  ) -> jax.Array:
    """Equation 8, for one parameter; moves its u and sigma."""
    self.require(
      'error_on_non_matrix',
      not self.error_on_non_matrix or value.ndim == 2,
      f'be False for {path} of shape {value.shape}',
    )
    w = kernel_norms.in_float32(value)
    dtype = jnp.promote_types(self.param_dtype, jnp.float32)
    u = self.variable(
      self.collection_name,
      f'{path}/u',
      lambda: jax.random.normal(
        self.make_rng('params'), (1, w.shape[-1]), dtype
      ),
    )
    sigma = self.variable(
      self.collection_name, f'{path}/sigma', jnp.ones, (), dtype
    )
    found, new_u = largest_singular_value(
      w, u.value[0], n_steps=self.n_steps, epsilon=self.epsilon
    )
    if update_stats and not self.is_initializing():
      u.value = new_u[None].astype(dtype)
      sigma.value = jnp.where(found > 0, found, sigma.value).astype(dtype)
    result = self.dtype or jnp.promote_types(value.dtype, self.param_dtype)
    return (w / jnp.where(found > 0, found, 1)).astype(result)


def largest_singular_value(
  kernel: jax.Array, u: jax.Array, *, n_steps: int, epsilon: float
) -> tuple[jax.Array, jax.Array]:
  """sigma = v W u by power iteration: v = W u / |W u|, u = v W / |v W|.

  For the gradient u and v are constants, so that d sigma / d W = v u, which at
  the singular vectors is exact.

  Args:
    kernel: [..., outputs], read as a matrix W of [everything else, outputs].
    u: [outputs], where the iteration starts.
    n_steps: of the iteration, at least 1.
    epsilon: added to squared lengths, of a W whose largest entry is 1.

  Returns:
    sigma, and the new u, of length 1. Where nothing is found, as all entries of
    W are zero or one is not finite, sigma is zero and u is the one given: a u
    of zero or NaN would remain so for good.
  """
  matrix = kernel.reshape(-1, kernel.shape[-1])
  # So that neither small nor large kernels leave the range of the squares.
  largest = jnp.abs(matrix).max()
  usable = (largest > 0) & jnp.isfinite(largest)
  scaled = lax.stop_gradient(matrix / jnp.where(usable, largest, 1))
  scaled = jnp.where(usable, scaled, 0)
  dot = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)

  def unit(vector: jax.Array) -> jax.Array:
    return vector * kernel_norms.inverse_root(
      jnp.square(vector).sum() + epsilon
    )

  old_u = lax.stop_gradient(u)
  new_u = old_u
  for _ in range(n_steps):
    v = unit(dot(scaled, new_u))
    new_u = unit(dot(v, scaled))
  exists = new_u.any()
  sigma = jnp.where(exists, dot(dot(v, matrix), new_u), 0)
  return sigma, jnp.where(exists, new_u, old_u)
