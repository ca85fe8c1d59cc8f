"""The arms and their runs: data, and nothing else."""

from typing import NamedTuple

import ml_collections

from configs.sigmoid_mlp import digits, mnist
from experiments.base import Run, Scale


class SigmoidArm(NamedTuple):
  """A network of the figure.

  Attributes:
    norm: name of the norm.
    curve: name of the paper's, in experiments/published/curves.json.
    paper_steps: of the paper's curve, to 97.2%, where the baseline's ends.
    paper_accuracy: at the end of the paper's curve, the mean of three points.
    paper_drift: of the median of the paper's unit; as `analysis.drift`.
  """

  norm: str
  curve: str
  paper_steps: float
  paper_accuracy: float
  paper_drift: float


BASELINE = 'Sigmoids'
ARMS = {
  BASELINE: SigmoidArm('none', 'without_BN', 43_070, 0.972, 0.452),
  'BN-Sigmoids': SigmoidArm('batch', 'with_BN', 15_530, 0.981, 0.073),
}
RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
SCALES = {
  'digits': Scale(digits.get_config, seeds=tuple(range(10)), rates=RATES),
  # A rate takes a minute and more here: those around the best on the digits.
  'mnist': Scale(mnist.get_config, rates=RATES[1:-1], tuning_seeds=(103, 104)),
}
TUNED = {'digits': digits.RATES, 'mnist': mnist.RATES}


def runs(scale: str) -> list[Run]:
  """The runs of both arms; one seed of both before the next seed."""
  return [
    Run({'arm': arm, 'seed': seed}, config_of(scale, arm, seed))
    for seed in SCALES[scale].seeds
    for arm in ARMS
  ]


def config_of(scale: str, arm: str, seed: int) -> ml_collections.ConfigDict:
  """The config of one run: the baseline, with or without BatchNorm."""
  config, norm = SCALES[scale].config(), ARMS[arm].norm
  config.label = f'{config.label}-{norm}-seed{seed}'
  config.seed = seed
  config.norm.name = norm
  config.optimizer.learning_rate = TUNED[scale][norm]
  if norm == 'batch':
    config.norm.momentum = 0.9
    config.norm.debias = True
  return config
