"""Is the loss smoother with BatchNorm, and is it BatchNorm that matters?"""

from experiments.base import Experiment
from experiments.landscape.analysis import further_outcomes, measure, present
from experiments.landscape.claims import CLAIMS
from experiments.landscape.figure import plot
from experiments.landscape.runs import BASELINE, SCALES, config_of, runs

EXPERIMENT = Experiment(
  scales=SCALES,
  baseline=BASELINE,
  claims=CLAIMS,
  config_of=config_of,
  runs=runs,
  measure=measure,
  further_outcomes=further_outcomes,
  present=present,
  plot=plot,
)
