"""Probes: what is measured inside a network while it trains.

A probe is a module with a pure function

  measure(run, state, step) -> {name: array}

of a `preparation.PreparedRun`, its state after `step` updates, and that number.
It measures in training mode, on the batch of the coming step, with the
statistics that training would use; dropout and augmentation are off
(`subject`). It changes nothing: training has the same numbers without it.

A probe that not every network has something for also has a function

  problem(model, variables) -> str | None

which says what is missing, from the shapes of the variables.
"""

import importlib
import types
from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn

from normlab import own_code, registry

# Name to what is measured; each is a module of this package.
PROBES: dict[str, str] = {
  'outputs': 'distributions of what goes into the activations',
  'covariate_shift': 'how updates of earlier layers change gradients',
  'landscape': 'loss and gradient along the gradient, and a random direction',
  'singular_values': 'largest singular values of the kernels',
  'affine': 'drift of scales and biases of norms from where they start',
  'weight_norms': 'lengths of the kernels, and effective learning rates',
  'renorm': 'r and d of BatchRenorm, and the share that is clipped',
}
# Fields of `config.probes`, and the probes that read them.
READERS: dict[str, tuple[str, ...]] = {
  'layers': ('covariate_shift',),
  'step_lengths': ('landscape',),
}
Measure = Callable[..., dict[str, jax.Array]]


def find(name: str) -> Measure:
  """The function `measure` of a probe, by its name or the path of its own.

  Raises:
    errors.ConfigError: an unknown name, or an import that fails.
  """
  if own_code.is_import_path(name):
    return own_code.function('probe', name)
  return _module(name).measure


def check(name: str, model: nn.Module, variables: Any) -> str | None:
  """Why a probe finds nothing to measure in a network; None if it does.

  Args:
    variables: of the model, with 'params'; their shapes are enough.

  Raises:
    errors.ConfigError: an unknown name.
  """
  if own_code.is_import_path(name):
    return None
  problem = getattr(_module(name), 'problem', None)
  found = problem and problem(model, variables)
  return f'probe {name!r}: {found}' if found else None


def _module(name: str) -> types.ModuleType:
  registry.lookup('probe', name, PROBES)
  return importlib.import_module(f'normlab.probes.{name}')
