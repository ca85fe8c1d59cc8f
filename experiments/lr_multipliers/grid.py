"""The runs: those that `get_hyper` of the scale's config asks for."""

from types import ModuleType
from typing import Any, NamedTuple

import ml_collections

from configs.lr_multipliers import cifar10, cifar10_cpu, digits
from normlab import errors
from normlab.sweeps import plan

SCALES: dict[str, ModuleType] = {
  'digits': digits,
  'cifar10_cpu': cifar10_cpu,
  'cifar10': cifar10,
}


class Run(NamedTuple):
  """One run: what identifies it in the table, and its config."""

  labels: dict[str, Any]
  config: ml_collections.ConfigDict


def runs(scale: str) -> list[Run]:
  """All runs of a scale: the same as of `scripts/sweep.py` with its config.

  Raises:
    errors.ConfigError: a row that cannot be put into the config.
  """
  module = SCALES[scale]
  rows = plan.rows_of(module)
  configs = []
  for row in rows:
    # Not checked further: the data need not be here yet.
    config, problems = plan.override(module.get_config(), row)
    if problems:
      raise errors.ConfigError(*problems)
    configs.append(config)
  found = plan.named(rows, configs)
  return [Run(labels_of(member.config), member.config) for member in found]


def labels_of(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """What identifies a run in the table."""
  return {
    'norm': config.norm.name,
    'multiplier': config.optimizer.learning_rate_multiplier,
    'seed': config.seed,
  }
