"""The networks of the figure, and their runs: data, and nothing else."""

from collections.abc import Callable
from typing import Any, NamedTuple

import ml_collections

from configs.speedup import cifar10, cifar10_cpu, digits


class Network(NamedTuple):
  """A network of the figure, as changes to the scale's baseline.

  Attributes:
    norm: name of the norm.
    activation: name of the activation.
    multiplier: of the learning rate.
    accelerated: with the changes of section 4.2.1 that apply here: no dropout,
      a fifth of the weight decay, and a decay of the rate six times as fast.
    paper_steps: 10^6 steps to 72.2% in the paper's table; None: never, or not
      in the table.
    paper_accuracy: best validation accuracy there, in percent.
  """

  norm: str
  activation: str
  multiplier: float
  accelerated: bool
  paper_steps: float | None = None
  paper_accuracy: float | None = None


BASELINE = 'Inception'
NETWORKS: dict[str, Network] = {
  BASELINE: Network('none', 'relu', 1, False, 31.0, 72.2),
  'BN-Baseline': Network('batch', 'relu', 1, False, 13.3, 72.7),
  'BN-x5': Network('batch', 'relu', 5, True, 2.1, 73.0),
  'BN-x30': Network('batch', 'relu', 30, True, 2.7, 74.8),
  'BN-x5-Sigmoid': Network('batch', 'sigmoid', 5, True, None, 69.8),
  'Inception-x5': Network('none', 'relu', 5, False),
  'Inception-Sigmoid': Network('none', 'sigmoid', 1, False),
}
SEEDS = (0, 1, 2)
SCALES: dict[str, Callable[[], ml_collections.ConfigDict]] = {
  'digits': digits.get_config,
  'cifar10_cpu': cifar10_cpu.get_config,
  'cifar10': cifar10.get_config,
}


class Run(NamedTuple):
  """One run: what identifies it in the table, and its config."""

  labels: dict[str, Any]
  config: ml_collections.ConfigDict


def runs(scale: str) -> list[Run]:
  """All runs of a scale; one seed of every network before the next seed."""
  return [
    Run({'network': name, 'seed': seed}, network_config(scale, name, seed))
    for seed in SEEDS
    for name in NETWORKS
  ]


def network_config(
  scale: str, name: str, seed: int
) -> ml_collections.ConfigDict:
  """The config of one network: the scale's baseline, and its changes."""
  network, config = NETWORKS[name], SCALES[scale]()
  config.label = f'{config.label}-{name}-seed{seed}'
  config.seed = seed
  config.norm.name = network.norm
  config.model.activation = network.activation
  config.optimizer.learning_rate_multiplier = float(network.multiplier)
  if network.norm == 'batch':
    # Flax's default, 0.99, is too slow for runs of a thousand steps.
    config.norm.momentum = 0.9
  if network.accelerated:
    config.model.dropout = 0.0
    config.optimizer.weight_decay /= 5
    config.schedule.decay_steps //= 6
  return config
