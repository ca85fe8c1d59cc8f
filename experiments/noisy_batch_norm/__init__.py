"""Does BatchNorm still help when its outputs are made unsteady again?"""

from experiments.base import Experiment
from experiments.noisy_batch_norm.analysis import further, measure, present
from experiments.noisy_batch_norm.claims import CLAIMS
from experiments.noisy_batch_norm.figure import plot
from experiments.noisy_batch_norm.runs import ARMS, SCALES, config_of, runs

EXPERIMENT = Experiment(
  scales=SCALES,
  tuned_arms=tuple(ARMS),
  tuned_by='train_accuracy',
  claims=CLAIMS,
  config_of=config_of,
  runs=runs,
  measure=measure,
  further_outcomes=further,
  present=present,
  plot=plot,
)
