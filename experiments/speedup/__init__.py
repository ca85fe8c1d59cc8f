"""How many training steps does BatchNorm save Inception?

TODO
"""

from experiments.base import Experiment
from experiments.speedup.analysis import present
from experiments.speedup.claims import CLAIMS
from experiments.speedup.figure import plot
from experiments.speedup.runs import BASELINE, SCALES, config_of, runs

EXPERIMENT = Experiment(
  scales=SCALES,
  baseline=BASELINE,
  claims=CLAIMS,
  config_of=config_of,
  runs=runs,
  present=present,
  plot=plot,
)
