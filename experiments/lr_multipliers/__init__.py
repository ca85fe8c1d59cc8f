"""How far can the learning rate be turned up, with each norm?

The first figure of every paper on normalization, in full: each norm at each
multiplier of the learning rate. How high does it get, how soon, and where does
training stop working?

| in the figure and tables | means |
|---|---|
| line, band | mean and range over seeds |
| grey line | best of the mean curve of `none` at x1: the accuracy to match |
| cross | a seed that diverged; bold where all did |
| hollow mark, left | some seeds diverged; mean of the others |
| hollow mark, middle | some seeds never match; mean of the others |
| usable (right) | no seed diverges, mean within 1 point of its best (mark) |
| usable range | highest / lowest usable one; "≥": to the end of the grid |

Unlike in 1502.03167, the networks differ in norm and multiplier only: weight
decay, schedule and dropout are the same for all. The learning rate at x1 was
tuned without a norm. Network and data are small: the digits have 360 validation
images, so a point of accuracy is four images.

Claims 2, 3 and 5 are those of `speedup`, judged again with another network.
"""

from experiments.lr_multipliers.analysis import (
  analyze,
  cells,
  outcomes,
  present,
  ranges,
  target_of,
)
from experiments.lr_multipliers.claims import judge
from experiments.lr_multipliers.figure import caption, plot
from experiments.lr_multipliers.grid import SCALES, Run, runs

__all__ = [
  'SCALES',
  'Run',
  'analyze',
  'caption',
  'cells',
  'judge',
  'outcomes',
  'plot',
  'present',
  'ranges',
  'runs',
  'target_of',
]
