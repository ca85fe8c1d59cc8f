"""How far can the learning rate be turned up, with each norm?"""

from experiments.base import Experiment
from experiments.lr_multipliers.analysis import present
from experiments.lr_multipliers.claims import CLAIMS
from experiments.lr_multipliers.figure import plot
from experiments.lr_multipliers.runs import BASELINE, SCALES, config_of, runs

EXPERIMENT = Experiment(
  scales=SCALES,
  baseline=BASELINE,
  claims=CLAIMS,
  config_of=config_of,
  runs=runs,
  present=present,
  plot=plot,
)
