"""The arms and their runs: data, and nothing else."""

from typing import NamedTuple

import ml_collections

from configs.covariate_shift import cifar10_cpu, digits, linear, linear_full
from experiments.base import Run, Scale

CNN, LINEAR = 'cnn', 'linear'


class ShiftArm(NamedTuple):
  """A network at a learning rate.

  Attributes:
    network: `CNN` or `LINEAR`.
    norm: name of the norm.
    rate: multiple of the learning rate of the network's config.
    paper_difference: medians over training in Figure 3 of the paper, of its
      two layers; None where its axis cannot be read.
    paper_cosine: likewise.
  """

  network: str
  norm: str
  rate: float
  paper_difference: tuple[float, float] | None = None
  paper_cosine: tuple[float, float] | None = None


BASELINE = 'cnn'
ARMS: dict[str, ShiftArm] = {
  BASELINE: ShiftArm(CNN, 'none', 1, (0.71, 0.68), (0.56, 0.06)),
  'cnn BN': ShiftArm(CNN, 'batch', 1, (0.83, 0.72), (0.51, 0.05)),
  'cnn slow': ShiftArm(CNN, 'none', 0.1, (0.87, 1.8), (0.87, 0.54)),
  'cnn BN slow': ShiftArm(CNN, 'batch', 0.1, (2.6, 2.3), (0.71, 0.52)),
  'linear': ShiftArm(LINEAR, 'none', 1),
  'linear BN': ShiftArm(LINEAR, 'batch', 1),
  'linear slow': ShiftArm(LINEAR, 'none', 0.1),
  'linear BN slow': ShiftArm(LINEAR, 'batch', 0.1),
}
# ShiftArm without a norm to the same with BatchNorm.
PAIRS = {
  'cnn': 'cnn BN',
  'cnn slow': 'cnn BN slow',
  'linear': 'linear BN',
  'linear slow': 'linear BN slow',
}
SCALES: dict[str, Scale] = {
  'digits': Scale(
    digits.get_config, target_seeds=(), rates=(0.1, 0.2, 0.4, 0.8)
  ),
  'cifar10_cpu': Scale(
    cifar10_cpu.get_config, seeds=(0, 1, 2), target_seeds=(), rates=()
  ),
}
LINEAR_CONFIGS = {
  'digits': linear.get_config,
  'cifar10_cpu': linear_full.get_config,
}


def runs(scale: str) -> list[Run]:
  """The runs of all arms; one seed of every arm before the next seed."""
  return [
    Run({'arm': arm, 'seed': seed}, config_of(scale, arm, seed))
    for seed in SCALES[scale].seeds
    for arm in ARMS
  ]


def config_of(scale: str, arm: str, seed: int) -> ml_collections.ConfigDict:
  """The config of one run: its network, with the arm's norm and rate."""
  changes, config = ARMS[arm], SCALES[scale].config()
  rate, multiplier = config.optimizer.learning_rate, changes.rate
  if changes.network == LINEAR:
    config = LINEAR_CONFIGS[scale]()
    # One rate is tuned, and set for all arms: its own is a multiple of that.
    multiplier *= config.optimizer.learning_rate / rate
  config.label = f'{config.label}-{arm.replace(" ", "-")}-seed{seed}'
  config.seed = seed
  config.norm.name = changes.norm
  config.optimizer.learning_rate = rate
  config.optimizer.learning_rate_multiplier = float(multiplier)
  if changes.norm == 'batch':
    # For evaluations; gradients are those of training.
    config.norm.momentum = 0.9
    config.norm.debias = True
  return config
