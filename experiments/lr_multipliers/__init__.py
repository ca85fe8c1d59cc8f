"""How far can the learning rate be turned up, with each norm?

The question of the first figure of every paper on normalization, in full: each
norm at each multiplier of the learning rate, all else equal; how high it gets,
how soon, and where training stops working.
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
