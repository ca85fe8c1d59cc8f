"""The arms and their runs: data, and the best rate of each."""

import functools
import math
from typing import NamedTuple

import ml_collections

from configs.valley import digits
from experiments.base import Run, Scale
from experiments.valley import quadratic
from normlab import data
from normlab.data.sets import valley


class ValleyArm(NamedTuple):
  """A model on features that are prepared in one way.

  Attributes:
    features: a preparation of `valley`.
    rate: the tuned learning rate of the network with a hidden layer; None is
      the linear model, whose best rate follows from the data.
  """

  features: str
  rate: float | None = None


LINEAR = {name: ValleyArm(name) for name in valley.PREPARATIONS}
# Tuned: results/valley/digits.tuning.csv.
NETWORKS = {
  'raw, network': ValleyArm('raw', 0.008),
  'centred, network': ValleyArm('centred', 0.032),
  'standardized, network': ValleyArm('standardized', 0.064),
  'whitened, network': ValleyArm('whitened', 0.064),
}
ARMS: dict[str, ValleyArm] = LINEAR | NETWORKS
# Units of the hidden layer, and the steps that a network gets.
UNITS, STEPS = 32, 1_000
SCALES = {
  'digits': Scale(
    digits.get_config,
    seeds=tuple(range(10)),
    # Nothing is matched.
    target_seeds=(),
    rates=(0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128),
  )
}
# Significant digits of what is computed from the data: LAPACK's last ones
# differ between machines, and a config must not.
DIGITS = 6


def runs(scale: str) -> list[Run]:
  """The runs of all arms; one seed of every arm before the next seed."""
  return [
    Run(
      {'arm': arm, 'seed': seed, 'condition_number': condition_number},
      config_of(scale, arm, seed),
    )
    for seed in SCALES[scale].seeds
    for arm in ARMS
    for condition_number in [condition_number_of(arm, seed)]
  ]


def config_of(scale: str, arm: str, seed: int) -> ml_collections.ConfigDict:
  """The config of one run; the seed draws the data and the initial weights."""
  features, rate = ARMS[arm]
  config = SCALES[scale].config()
  config.label = f'{config.label}-{arm}-seed{seed}'
  config.seed = seed
  config.data.name = f'valley/{features}/{seed}'
  if rate is None:
    config.optimizer.learning_rate = rounded(curvature(arm, seed).best_rate)
    steps = quadratic.most_steps(condition_number_of(arm, seed))
    # The row of a step has the loss before it; one more for rounding.
    config.total_steps = config.eval_every = math.ceil(steps) + 2
  else:
    config.model.widths = (UNITS,)
    config.optimizer.learning_rate = float(rate)
    config.total_steps, config.eval_every = STEPS, STEPS // 10
  return config


def condition_number_of(arm: str, seed: int) -> float:
  """That of the linear model on an arm's features."""
  return rounded(curvature(arm, seed).condition_number)


@functools.cache
def curvature(arm: str, seed: int) -> quadratic.Curvature:
  """That of the training loss of the linear model on an arm's features."""
  images = data.load(f'valley/{ARMS[arm].features}/{seed}')['train'].images
  features = images.reshape(len(images), -1).astype(float)
  return quadratic.curvature(quadratic.hessian(features))


def rounded(value: float) -> float:
  """To `DIGITS` significant digits."""
  return float(f'{value:.{DIGITS}g}')
