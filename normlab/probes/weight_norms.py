"""Lengths of the kernels, and the learning rates that they amount to.

Where a norm makes the output independent of a kernel's length, a step of
gradient descent turns the kernel by the learning rate over its squared length
(arXiv:1706.05350). The arrays of a kernel, such as 'norm/layer1/dense/kernel',
float32 scalars:

  norm            the Euclidean norm of the parameter
  effective_rate  learning rate of the coming step / norm^2
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from normlab.probes import parameters, subject
from normlab.program import training_step


def measure(
  run: Any, state: training_step.TrainState, step: int
) -> dict[str, jax.Array]:
  """The arrays of the module's table."""
  return _norms(state.params, subject.at(run, step).hyper.rates)


def problem(model: nn.Module, variables: Any) -> str | None:
  """Says so where there are no kernels."""
  del model
  return parameters.without_kernels(variables)


@jax.jit
def _norms(
  params: training_step.Params, rate: jax.Array
) -> dict[str, jax.Array]:
  values = {}
  for path, kernel in parameters.kernels(params).items():
    norm = optax.tree.norm(kernel.astype(jnp.float32))
    values[f'norm/{path}'] = norm
    values[f'effective_rate/{path}'] = rate / jnp.square(norm)
  return values
