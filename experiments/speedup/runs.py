"""The arms and their runs: data, and nothing else."""

from typing import NamedTuple

import ml_collections

from configs.speedup import (
  cifar10,
  cifar10_cpu,
  digits,
  digits_again,
  digits_full,
  digits_redrawn,
  lesson,
)
from experiments.base import TEN, Run, Scale


class InceptionArm(NamedTuple):
  """A network of the figure, as changes to the scale's baseline.

  Attributes:
    norm: name of the norm.
    activation: name of the activation.
    multiplier: of the learning rate.
    paper_steps: 10^6 steps to 72.2% in the paper's table; None: never, or not
      in the table.
    paper_accuracy: best validation accuracy there, in percent.
  """

  norm: str
  activation: str
  multiplier: float
  paper_steps: float | None = None
  paper_accuracy: float | None = None


BASELINE = 'Inception'
ARMS: dict[str, InceptionArm] = {
  BASELINE: InceptionArm('none', 'relu', 1, 31.0, 72.2),
  'BN-Baseline': InceptionArm('batch', 'relu', 1, 13.3, 72.7),
  'BN-x5': InceptionArm('batch', 'relu', 5, 2.1, 73.0),
  'BN-x30': InceptionArm('batch', 'relu', 30, 2.7, 74.8),
  'BN-x5-Sigmoid': InceptionArm('batch', 'sigmoid', 5, None, 69.8),
  'Inception-x5': InceptionArm('none', 'relu', 5),
  'Inception-Sigmoid': InceptionArm('none', 'sigmoid', 1),
}
# Three seeds are enough to see that it does not train.
CONTROLS = ('Inception-x5',)
SCALES: dict[str, Scale] = {
  'lesson': Scale(
    lesson.get_config, seeds=(0, 1, 2), rates=(0.04, 0.08, 0.16, 0.32)
  ),
  'digits': Scale(digits.get_config, tuning_seeds=TEN),
  'digits_again': Scale(
    digits_again.get_config,
    seeds=(5, 6, 7, 8, 9),
    fewer_seeds=(5, 6, 7),
    target_seeds=(120, 121, 122),
    tuned_at='digits',
  ),
  'digits_redrawn': Scale(digits_redrawn.get_config, tuned_at='digits'),
  'digits_full': Scale(
    digits_full.get_config,
    seeds=tuple(range(10)),
    fewer_seeds=(0, 1, 2, 5, 6, 7),
    target_seeds=(100, 101, 102, 120, 121, 122),
    tuned_at='digits',
  ),
  # A rate takes half an hour here: three, around the best on the digits.
  'cifar10_cpu': Scale(
    cifar10_cpu.get_config, seeds=(0, 1, 2), rates=(0.01, 0.02, 0.04)
  ),
  'cifar10': Scale(cifar10.get_config),
}


def runs(scale: str) -> list[Run]:
  """The runs of all arms; one seed of every arm before the next seed."""
  own = SCALES[scale]
  return [
    Run({'arm': arm, 'seed': seed}, config_of(scale, arm, seed))
    for seed in own.seeds
    for arm in ARMS
    if arm not in CONTROLS or seed in own.fewer_seeds
  ]


def config_of(scale: str, arm: str, seed: int) -> ml_collections.ConfigDict:
  """The config of one run: the scale's baseline, and the arm's changes."""
  changes, config = ARMS[arm], SCALES[scale].config()
  config.label = f'{config.label}-{arm}-seed{seed}'
  config.seed = seed
  config.norm.name = changes.norm
  config.model.activation = changes.activation
  config.optimizer.learning_rate_multiplier = float(changes.multiplier)
  if changes.norm == 'batch':
    # Slower averages lag behind the weights: docs/instrument.md.
    config.norm.momentum = 0.7
    config.norm.debias = True
  return config
