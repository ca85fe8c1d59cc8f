"""Is the loss smoother with BatchNorm?

Figures 4 and 5a of *How Does Batch Normalization Help Optimization?* (Santurkar
et al. 2018, [arXiv:1805.11604](https://arxiv.org/abs/1805.11604)): the loss and
its gradient g, some steps along g away; and BatchNorm beside norms that divide
by another size of the activations, of x before its mean is subtracted.

| in the figure and tables | means |
|---|---|
| filled band | lowest to highest over the step lengths; median over seeds |
| line, pale band | mean and range over seeds |
| grey line | smoothness 1 / shortest length; the training accuracy to match |
| loss band | highest minus lowest loss over the step lengths |
| gradient band | highest minus lowest norm of the change of g |
| smoothness | largest ratio of the norm of the change of g to the distance |
| loss band ... smoothness | medians over measurements of the first half |
| largest | the largest smoothness of a run |
| loss band, random | along a random direction, at the same distances |
| training steps to match | first training row, a mean over ten steps, with it |
| training accuracy | mean over the last tenth; 0 after a divergence |
| L1, L2, Linf | divide by E abs(x), sqrt(E x^2), max abs(x) |

| | here | paper |
|---|---|---|
| data | distorted digits, CIFAR-10 | CIFAR-10 |
| network | 5 or 6 convolutions with stride | "VGG-like", 13 convolutions |
| steps | 800, 2,000 | 15,000 |
| training accuracy to match | 90%, 50% | 90% |
| learning rate | tuned without a norm, the same for all | 0.1 for all |
| step lengths | six | not stated how many |
| measured | every 50th or 100th step | about every 100th |
| random direction | Gaussian, scaled to the norm of g | not stated |
| start of the kernels | Glorot, normal | Glorot |

As in the paper: plain SGD, batch 128, lengths from 1/2 to 4 learning rates, no
augmentation, no weight decay. The learning rate sets the lengths, so that all
networks share one. It is the best of the standard network alone; the four that
claim 14 compares were not tuned. Dividing by the maximum leaves values of about
a quarter of unit deviation, which the scale has to make up for.

A lower smoothness is the better one. It depends on the lengths. Where even the
shortest step changes g by its own norm, it is 1 / the shortest length and says
nothing about the network: late in training that is so here and in the paper,
whose medians over all steps are equal (20.0). The largest over the lengths is
mostly that of the shortest with BatchNorm, and of any without: the two bands
say more.
"""

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
