"""Kernels, scales and biases among the parameters of a network."""

from typing import Any

import jax

from normlab.program import training_step

# What scales and biases of norms are before the first step.
STARTS = {'scale': 1.0, 'bias': 0.0}


def kernels(params: Any) -> dict[str, jax.Array]:
  """The kernels of convolutions and dense layers, by path."""
  return {
    path: leaf
    for path, leaf in training_step.named_leaves(params)
    if path.split('/')[-1] == 'kernel' and leaf.ndim >= 2
  }


def affine(params: Any) -> dict[str, jax.Array]:
  """Scales and biases of norms, also the scales of normalized kernels.

  A bias beside a kernel is that of a convolution or a dense layer.
  """
  leaves = dict(training_step.named_leaves(params))
  return {
    path: leaf
    for path, leaf in leaves.items()
    for module, _, name in [path.rpartition('/')]
    if name in STARTS and f'{module}/kernel' not in leaves
  }


def without_kernels(variables: Any) -> str | None:
  """The problem of a probe of kernels with a network that has none."""
  return None if kernels(variables['params']) else 'the network has no kernels'
