"""What does BatchNorm change in a network of sigmoids?

Figure 1 of *Batch Normalization* (Ioffe & Szegedy 2015,
[arXiv:1502.03167](https://arxiv.org/abs/1502.03167)): how soon and how high a
network of sigmoids learns, and how the input of a unit moves meanwhile.

| in the figure and tables | means |
|---|---|
| upper row | this code; the lower is the paper, digitised |
| line, band | accuracy: mean and range over seeds |
| grey line | the target: where the network without a norm ends |
| diamond | median steps to the target |
| three lines | 15th, 50th, 85th percentile of a unit's input, first seed |
| pale area | from 15th to 85th percentile of all units, all seeds |
| median drift | range over training of a unit's 50th percentile, divided by |
| | the median distance from its 15th to its 85th |
| slow drift | the same, of means of five 50th percentiles in succession |
| accuracy at the end | mean of the last three evaluations |

The unit is number 0 of the last hidden layer; the units start alike. Its
percentiles are over the batch of the coming step.

| | here | paper |
|---|---|---|
| data | distorted digits; MNIST | MNIST |
| input | digits: grey; MNIST: black and white, split at half | binary |
| scale of the input | mean 0, standard deviation 1 | not stated |
| network | three layers of 100 sigmoids | the same |
| batch | 60 | 60 |
| steps | digits: 8,000; MNIST: 50,000 | 50,000 |
| first weights | Gaussian, standard deviation 0.1 | "small random Gaussian" |
| optimizer | SGD without momentum | not stated |
| learning rate | constant, tuned for each network | not stated |
| held-out images | validation split | test set |
| running averages | momentum 0.9, debiased | not stated |
| plotted unit | the first | "one typical sigmoid" |

The median drift was declared before the runs, and the claim is judged by it.
The slow drift was added while they ran, against the noise of 60 examples, and
took its place until the drifts were seen: by it, the part on steadiness fails
on the digits. They differ by the first steps, in which the inputs of a network
without a norm move far and come back within five measurements.
"""

from experiments.base import Experiment
from experiments.sigmoid_mlp.analysis import drifts, measure, present
from experiments.sigmoid_mlp.claims import CLAIMS
from experiments.sigmoid_mlp.figure import plot
from experiments.sigmoid_mlp.runs import (
  ARMS,
  BASELINE,
  SCALES,
  config_of,
  runs,
)

EXPERIMENT = Experiment(
  scales=SCALES,
  baseline=BASELINE,
  tuned_arms=tuple(ARMS),
  claims=CLAIMS,
  config_of=config_of,
  runs=runs,
  measure=measure,
  further_outcomes=drifts,
  present=present,
  plot=plot,
)
