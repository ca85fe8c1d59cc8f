"""Probes: what is measured inside a network while it trains.

A probe is a module with a pure function

  measure(run, state, step) -> {name: array}

of a `preparation.PreparedRun`, its state after `step` updates, and that number.
It measures in training mode, on the batch of the coming step, with the
statistics that training would use; dropout and augmentation are off
(`subject`). It changes nothing: training has the same numbers without it.
"""

import importlib
from collections.abc import Callable

import jax

from normlab import registry

# Name to what is measured; each is a module of this package.
PROBES: dict[str, str] = {
  'covariate_shift': 'how updates of earlier layers change gradients',
  'landscape': 'loss and gradient along the gradient, and a random direction',
}
# Fields of `config.probes`, and the probes that read them.
READERS: dict[str, tuple[str, ...]] = {
  'layers': ('covariate_shift',),
  'step_lengths': ('landscape',),
}
Measure = Callable[..., dict[str, jax.Array]]


def find(name: str) -> Measure:
  """The function `measure` of a probe.

  Raises:
    errors.ConfigError: an unknown name.
  """
  registry.lookup('probe', name, PROBES)
  return importlib.import_module(f'normlab.probes.{name}').measure
