"""The arms, each norm at each multiplier, and their runs."""

import ml_collections

from configs.lr_multipliers import (
  cifar10,
  cifar10_cpu,
  digits,
  digits_again,
  digits_full,
)
from experiments.base import TEN, Run, Scale

BASELINE = 'none x1'
# The arms that claims compare.
CLAIMED = (
  'none x1',
  'none x5',
  'none x30',
  'batch x1',
  'batch x5',
  'batch x30',
)
# The plain network wants higher rates than Inception.
RATES = (0.04, 0.08, 0.16, 0.32, 0.64)
SCALES: dict[str, Scale] = {
  'digits': Scale(digits.get_config, tuning_seeds=TEN, rates=RATES),
  'digits_again': Scale(
    digits_again.get_config,
    seeds=(5, 6, 7, 8, 9),
    fewer_seeds=(5, 6, 7),
    target_seeds=(120, 121, 122),
    tuned_at='digits',
  ),
  'digits_full': Scale(
    digits_full.get_config,
    seeds=tuple(range(10)),
    fewer_seeds=(0, 1, 2, 5, 6, 7),
    target_seeds=(100, 101, 102, 120, 121, 122),
    tuned_at='digits',
  ),
  'cifar10_cpu': Scale(cifar10_cpu.get_config),
  'cifar10': Scale(cifar10.get_config),
}
# Norms and multipliers, where they are not those of the digits.
GRIDS = {'cifar10_cpu': (cifar10_cpu.NORMS, cifar10_cpu.MULTIPLIERS)}


def arm_of(norm: str, multiplier: float) -> str:
  """The name of a cell of the grid."""
  return f'{norm} x{multiplier:g}'


def arms(scale: str) -> dict[str, tuple[str, float]]:
  """The cells of the grid: name to norm and multiplier."""
  norms, multipliers = GRIDS.get(scale, (digits.NORMS, digits.MULTIPLIERS))
  return {
    arm_of(norm, multiplier): (norm, multiplier)
    for norm in norms
    for multiplier in multipliers
  }


def runs(scale: str) -> list[Run]:
  """The runs of all arms; one seed of every arm before the next seed."""
  own = SCALES[scale]
  return [
    Run(
      {'arm': arm, 'seed': seed, 'norm': norm, 'multiplier': multiplier},
      config_of(scale, arm, seed),
    )
    for seed in own.seeds
    for arm, (norm, multiplier) in arms(scale).items()
    if arm in CLAIMED or seed in own.fewer_seeds
  ]


def config_of(scale: str, arm: str, seed: int) -> ml_collections.ConfigDict:
  """The config of one run: the baseline, with another norm and rate."""
  config = SCALES[scale].config()
  config.label = f'{config.label}-{arm.replace(" ", "-")}-seed{seed}'
  config.seed = seed
  norm, config.optimizer.learning_rate_multiplier = arms(scale)[arm]
  config.norm.name = norm
  config.norm.update(digits.settings(norm, config.total_steps))
  return config
