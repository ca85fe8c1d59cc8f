"""How many training steps does BatchNorm save Inception?

Figure 2 and the table of Figure 3 of Ioffe & Szegedy 2015 (arXiv:1502.03167):
five networks, and two controls that the text mentions.
"""

from experiments.speedup.analysis import (
  analyze,
  baseline_steps,
  outcomes,
  present,
  target_of,
)
from experiments.speedup.claims import judge
from experiments.speedup.figure import caption, plot
from experiments.speedup.networks import (
  NETWORKS,
  SCALES,
  SEEDS,
  Run,
  network_config,
  runs,
)

__all__ = [
  'NETWORKS',
  'SCALES',
  'SEEDS',
  'Run',
  'analyze',
  'baseline_steps',
  'caption',
  'judge',
  'network_config',
  'outcomes',
  'plot',
  'present',
  'runs',
  'target_of',
]
