"""Spectral norm regularization (Yoshida & Miyato 2017, arXiv:1705.10941)."""

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp

from normlab.norms.core import fields
from normlab.norms.kernels import kernel_norms
from normlab.norms.kernels.spectral import largest_singular_value

State = dict[str, jax.Array]


def spectral_penalty(
  params: Any,
  state: State,
  *,
  weight: float = 0.01,
  n_steps: int = 1,
  epsilon: float = 1e-12,
) -> tuple[jax.Array, State]:
  """weight / 2 * sum of sigma(W)^2 over the kernels W of a model.

  Its gradient is weight * sigma * v u with the singular vectors v and u as
  constants (algorithm 1). The state is the caller's, beside the optimizer's:

  ```
  state = spectral_state(params, key)   # once
  penalty, state = spectral_penalty(params, state)   # each step, in the loss
  ```

  Args:
    params: of the model; every array of rank 2 and more named `kernel` counts,
      read as a matrix [everything else, outputs].
    state: u of each kernel, from `spectral_state` or the last call.
    weight: lambda of the paper; its experiments have 0.01.
    n_steps: of the power iteration, at least 1.
    epsilon: added to squared lengths in it, so that zero kernels stay finite.

  Returns:
    The penalty, in float32 at least, and the new state: constants for the
    gradient, so give it out of the loss as an auxiliary value.

  Raises:
    ValueError: a negative weight or epsilon, n_steps below 1, no kernel, or a
      state of other kernels.
  """
  for name, value, low in (
    ('weight', weight, 0),
    ('n_steps', n_steps, 1),
    ('epsilon', epsilon, 0),
  ):
    # A weight that is traced has no value yet.
    if not fields.is_traced(value) and value < low:
      raise ValueError(
        f'spectral_penalty: {name}={value!r} must be {low} or more'
      )
  kernels = _kernels(params)
  shapes = {path: kernel.shape[-1:] for path, kernel in kernels.items()}
  given = {path: u.shape for path, u in state.items()}
  if given != shapes:
    raise ValueError(
      f'spectral_penalty: state={given} must have one u per kernel, {shapes}'
    )
  squares, new_state = [], {}
  for path, kernel in kernels.items():
    sigma, new_state[path] = largest_singular_value(
      kernel_norms.in_float32(kernel),
      state[path],
      n_steps=n_steps,
      epsilon=epsilon,
    )
    squares.append(jnp.square(sigma))
  return weight / 2 * functools.reduce(operator.add, squares), new_state


def spectral_state(params: Any, key: jax.Array) -> State:
  """Where the power iteration of `spectral_penalty` starts: u ~ N(0, 1).

  By path of each kernel, as 'conv1/kernel': u, [outputs], float32 at least.

  Raises:
    ValueError: no kernel.
  """
  kernels = _kernels(params)
  keys = jax.random.split(key, len(kernels))
  return {
    path: jax.random.normal(
      key, kernel.shape[-1:], jnp.promote_types(kernel.dtype, jnp.float32)
    )
    for key, (path, kernel) in zip(keys, kernels.items(), strict=True)
  }


def _kernels(params: Any) -> dict[str, jax.Array]:
  """The parameters named `kernel` of rank 2 and more, by path."""
  leaves = {
    jax.tree_util.keystr(path, simple=True, separator='/'): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
  }
  kernels = {
    path: leaf
    for path, leaf in leaves.items()
    if 'kernel' in path.split('/') and jnp.ndim(leaf) >= 2
  }
  if not kernels:
    raise ValueError(
      f'spectral_penalty: params={sorted(leaves)} must have an array named '
      'kernel of rank 2 or more'
    )
  return kernels
