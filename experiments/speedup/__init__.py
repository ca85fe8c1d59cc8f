"""How many training steps does BatchNorm save Inception?

Figure 2 and the table of Figure 3 of *Batch Normalization* (Ioffe & Szegedy
2015, [arXiv:1502.03167](https://arxiv.org/abs/1502.03167)): five networks, and
two controls that the text mentions.

| in the figure and tables | means |
|---|---|
| line, band | mean and range over seeds |
| steps to match | steps to the best accuracy of the mean curve of Inception |
| diamond | mean steps to match, over the seeds that match |
| speed-up | mean steps of the seeds of Inception / steps; a lower bound |
| cross | divergence |

A seed of Inception that never matches counts with the whole run.

| | here | paper |
|---|---|---|
| data | digits, CIFAR-10 | ImageNet |
| network | small Inception (1611.03530) | BN-Inception, 13.6M parameters |
| optimizer | SGD with momentum 0.9 | asynchronous SGD |
| batch | 32 | 32 |
| steps | see below | 31 million |
| learning rate at x1 | see below | 0.0015 |

BN-x5, BN-x30 and BN-x5-Sigmoid follow section 4.2.1: no dropout, a fifth of the
weight decay, and a learning rate that decays six times as fast. The paper also
removes local response normalization, shuffles better and distorts photographs
less; none of these exists here.

The results on CIFAR-10 are older than the present order of summation in norms
and convolutions. Runs of today differ by rounding, as another seed would.
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
