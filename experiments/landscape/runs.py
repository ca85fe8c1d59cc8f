"""The arms and their runs: data, and nothing else."""

import math
from typing import NamedTuple

import ml_collections

from configs.landscape import cifar10_cpu, digits
from experiments.base import Run, Scale


class LandscapeArm(NamedTuple):
  """A network of the paper's Figure 5.

  Attributes:
    norm: name of the norm.
    p: order of the l_p norm; None where there is none.
    color: that of its lines.
    paper_name: in the digitised curves.
    paper_steps: first step there with at least 90% of the batch right.
  """

  norm: str
  p: float | None
  color: str
  paper_name: str
  paper_steps: int


BASELINE = 'standard'
ARMS: dict[str, LandscapeArm] = {
  BASELINE: LandscapeArm('none', None, '#000000', 'standard', 3300),
  'BN': LandscapeArm('batch', None, '#0072b2', 'bn', 1600),
  'L1': LandscapeArm('lp_batch', 1.0, '#e69f00', 'l1', 1600),
  'L2': LandscapeArm('lp_batch', 2.0, '#009e73', 'l2', 1800),
  'Linf': LandscapeArm('lp_batch', math.inf, '#d55e00', 'linf', 1600),
}
# No target seeds: no claim counts steps to where the baseline ends.
SCALES: dict[str, Scale] = {
  'digits': Scale(
    digits.get_config, target_seeds=(), rates=(0.05, 0.1, 0.2, 0.4, 0.8)
  ),
  'cifar10_cpu': Scale(
    cifar10_cpu.get_config,
    seeds=(0, 1, 2),
    target_seeds=(),
    rates=(0.05, 0.1, 0.2, 0.4),
  ),
}
# Training accuracy that steps are counted to: the paper's, and what a small
# network gets to on photographs in the time.
TARGETS = {'digits': 0.9, 'cifar10_cpu': 0.5}


def runs(scale: str) -> list[Run]:
  """The runs of all arms; one seed of every arm before the next seed."""
  target = TARGETS[scale]
  return [
    Run(
      {'arm': arm, 'seed': seed, 'target': target}, config_of(scale, arm, seed)
    )
    for seed in SCALES[scale].seeds
    for arm in ARMS
  ]


def config_of(scale: str, arm: str, seed: int) -> ml_collections.ConfigDict:
  """The config of one run: the scale's baseline, and the arm's norm."""
  changes, config = ARMS[arm], SCALES[scale].config()
  config.label = f'{config.label}-{arm}-seed{seed}'
  config.seed = seed
  config.norm.name = changes.norm
  if changes.norm != 'none':
    # Slower averages lag behind the weights: docs/instrument.md.
    config.norm.momentum = 0.7
    config.norm.debias = True
  if changes.p is not None:
    config.norm.p = changes.p
    config.norm.convention = 'literal'
  return config
