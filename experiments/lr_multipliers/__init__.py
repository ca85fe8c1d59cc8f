"""How far can the learning rate be turned up, with each norm?

The first figure of every paper on normalization, in full: each norm at each
multiplier of the learning rate. How high does it get, how soon, and where does
training stop working?

| in the figure and tables | means |
|---|---|
| line, band | median and range over seeds |
| grey line | the target: where `none` at x1 ends, on seeds of its own |
| accuracy | mean of the last three evaluations; 0 for a run that diverged |
| cross | divergence: thin of some seeds, bold of all |
| steps | median over seeds; no mark where most never reach the target |
| pale bar | multipliers within 1 point of the norm's own best |
| full bar | multipliers at which it is above the best of `none` at any rate |
| sensitivity | mean over the grid of the loss beyond the norm's best |

The sensitivity is that of 2309.14322, with losses bounded by that of guessing.
A norm with a high best has a narrow range within a point of it; that above the
best network without a norm compares all by one level.

Arms differ in norm and multiplier only: weight decay and schedule are the same
for all. The learning rate at x1 was tuned without a norm.
"""

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
