"""Singular values of the kernels: the largest, and what spectral norm takes.

A kernel is the matrix [everything else, outputs]. The arrays of a kernel, such
as 'largest/layer1/dense/kernel', float32 scalars:

  largest     of the parameter
  normalized  of the kernel that the layer is called with in the coming step;
              only where a norm of kernels is
  estimate    that spectral norm takes for `largest` in the coming step, by
              power iteration from its state; only where that is the norm

Under spectral norm `normalized` is `largest` / `estimate`: 1 if it is right.
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from normlab import norms
from normlab.norms.core import calls
from normlab.probes import forward, parameters
from normlab.program import training_step
from normlab.program.programs import Program


def measure(
  run: Any, state: training_step.TrainState, step: int
) -> dict[str, jax.Array]:
  """The arrays of the module's table."""
  return _singular_values(**forward.inputs(run, state, step))


def problem(model: nn.Module, variables: Any) -> str | None:
  """Says so where there are no kernels."""
  del model
  return parameters.without_kernels(variables)


@functools.partial(jax.jit, static_argnames='program')
def _singular_values(
  *, params: Any, program: Program, **arguments: Any
) -> forward.Seen:
  # Of the forward pass nothing is left but the kernels: the rest is not used.
  found = forward.seen(
    kernels_in_use, params=params, program=program, **arguments
  )
  values = {
    name: x[0] if name.startswith('estimate/') else largest_singular_value(x[0])
    for name, x in found.items()
  }
  for path, kernel in parameters.kernels(params).items():
    values[f'largest/{path}'] = largest_singular_value(kernel)
  return values


@contextlib.contextmanager
def kernels_in_use(
  model: nn.Module, found: forward.Seen
) -> Iterator[nn.Module]:
  """Finds 'normalized/PATH', the kernel, and 'estimate/PATH', its sigma."""
  inside: list[nn.Module] = []

  def follow(module: nn.Module, call: Any, *args: Any, **kwargs: Any) -> Any:
    if inside:
      layer = '/'.join(module.path)
      of_layer = parameters.kernels(module.variables.get('params', {}))
      found.update((f'normalized/{layer}/{k}', v) for k, v in of_layer.items())
    if not isinstance(module, norms.KernelNorm):
      return call(*args, **kwargs)
    inside.append(module)
    try:
      y = call(*args, **kwargs)
    finally:
      inside.pop()
    if isinstance(module, norms.SpectralNorm):
      found.update(estimates(module))
    return y

  with calls.replaced(follow):
    yield model


def estimates(norm: norms.SpectralNorm) -> Iterator[tuple[str, jax.Array]]:
  """The sigma that a call of the norm has stored for each kernel."""
  for name, value in norm.variables[norm.collection_name].items():
    path, _, last = name.rpartition('/')
    if last == 'sigma':
      yield '/'.join(('estimate', *norm.path[:-1], path)), value


def largest_singular_value(kernel: jax.Array) -> jax.Array:
  """The largest singular value of the matrix [everything else, outputs].

  By the eigenvalues of the smaller Gram matrix, which for the largest one costs
  no precision: on a CPU 3 ms and not 149 for a matrix [1440, 160].
  """
  matrix = kernel.reshape(-1, kernel.shape[-1]).astype(jnp.float32)
  if matrix.shape[0] < matrix.shape[1]:
    matrix = matrix.T
  # So that no square leaves the range of float32.
  unit = jnp.abs(matrix).max()
  matrix = matrix / jnp.where(unit > 0, unit, 1)
  gram = jnp.matmul(matrix.T, matrix, precision=lax.Precision.HIGHEST)
  return unit * jnp.sqrt(jnp.maximum(jnp.linalg.eigvalsh(gram)[-1], 0))
