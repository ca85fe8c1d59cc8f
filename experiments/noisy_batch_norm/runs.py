"""The arms and their runs: data, and nothing else."""

from typing import NamedTuple

import ml_collections

from configs.noisy_batch_norm import cifar10_cpu, digits
from experiments.base import Run, Scale


class NoiseArm(NamedTuple):
  """A network of the figure.

  Attributes:
    norm: name of the norm.
    paper_steps: to 90% of training accuracy in the paper's Figure 2; None where
      it has no curve.
    paper_curve: of `experiments/published/curves.json`.
  """

  norm: str
  paper_steps: int | None = None
  paper_curve: str | None = None


STANDARD, BN, NOISY, CONTROL = 'standard', 'BN', 'noisy BN', 'noise alone'
ARMS = {
  STANDARD: NoiseArm('none', 3300, 'standard'),
  BN: NoiseArm('batch', 1600, 'bn'),
  NOISY: NoiseArm('noisy_batch', 2400, 'noisy_bn'),
  CONTROL: NoiseArm('noise'),
}
SCALES = {
  'digits': Scale(
    digits.get_config,
    target_seeds=(),
    tuning_seeds=(103, 104),
    rates=(0.1, 0.2, 0.4, 0.8, 1.6),
  ),
  # A run takes minutes here: three rates, around the paper's.
  'cifar10_cpu': Scale(
    cifar10_cpu.get_config,
    seeds=(0, 1, 2),
    target_seeds=(),
    tuning_seeds=(103, 104),
    rates=(0.05, 0.1, 0.2),
  ),
}
# Tuned: results/noisy_batch_norm/SCALE.tuning.csv.
TUNED = {
  'digits': {STANDARD: 0.8, BN: 0.4, NOISY: 0.4, CONTROL: 0.4},
  'cifar10_cpu': dict.fromkeys(ARMS, 0.1),
}
# Training accuracy that steps are counted to, by data set. On the digits the
# standard network alone, on a seed of its own, reaches it near the end.
TARGETS = {'digits_affine': 0.8, 'cifar10': 0.5}


def runs(scale: str) -> list[Run]:
  """The runs of all arms; one seed of every arm before the next seed."""
  return [
    Run({'arm': arm, 'seed': seed}, config_of(scale, arm, seed))
    for seed in SCALES[scale].seeds
    for arm in ARMS
  ]


def config_of(scale: str, arm: str, seed: int) -> ml_collections.ConfigDict:
  """The config of one run: the scale's, with the norm and rate of the arm."""
  config, norm = SCALES[scale].config(), ARMS[arm].norm
  config.label = f'{config.label}-{norm}-seed{seed}'
  config.seed = seed
  config.norm.name = norm
  config.optimizer.learning_rate = TUNED[scale][arm]
  if norm in ('batch', 'noisy_batch'):
    config.norm.momentum = 0.9
    config.norm.debias = True
  return config
