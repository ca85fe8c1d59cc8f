"""Does BatchNorm reduce internal covariate shift?

Definition 2.1 and Figure 3 of *How Does Batch Normalization Help Optimization?*
(Santurkar et al. 2018, [arXiv:1805.11604](https://arxiv.org/abs/1805.11604)):
G is the gradient of a layer's kernel, G' the same once an update has moved the
layers before it, on the same batch. The less they differ, the smaller the
shift.

| in the figure and tables | means |
|---|---|
| line, band | mean and range over seeds |
| solid, dashed | a lower and an upper layer, as in the paper |
| map | mean cosine over seeds; the last layer is the logits |
| slow | at a tenth of the rate |
| difference | length of G - G': median over measurements; geometric mean |
| | over all layers but the first |
| cosine | of the angle between them: median, and mean over these layers |
| measured until | outcomes are of the time before: training accuracy is 90%, |
| | or the squared error a tenth of that of predicting zero |
| first layer | its largest difference: zero, by definition |

| | here | paper |
|---|---|---|
| data | distorted digits, CIFAR-10 | CIFAR-10 |
| network | 6 convolutions, each after the first with stride 2 | "VGG-like" |
| learning rates, digits | tuned without BN, and a tenth | |
| learning rates, CIFAR-10 | 0.1, 0.01 | 0.1, 0.01 |
| linear network | 25 layers, 1,000 examples, full batch | the same |
| its loss | squared error, the mean over examples | sum or mean not stated |
| its learning rates | 1e-3, 1e-4: the paper's, if its loss is the sum | 1e-6, |
| | | 1e-7 |
| its steps | digits: 1,000; CIFAR-10: 10,000 | 10,000 |
| optimizer | SGD: no momentum, decay, augmentation | none mentioned |
| batch | 128 | 128 |
| first weights | Glorot, normal; the last layer 1 / inputs | Glorot |
| what moves | all parameters of the layers before | not stated |
| statistics of BN | of the batch | not stated |
| layers | all but the first | two |
| medians over | the time before convergence | all steps; at 0.01 a third |

Both networks of a pair have the same rate: the question is what BatchNorm does
at a given one. A reduction by less than a fifth of the difference, or 0.05 of
the cosine, counts as none. A network that does not learn in time has small
gradients, which hardly change: such a pair compares learning with standstill.

Which steps are compared decides about the cosine on the digits, at the larger
rate. In the first third the convolutional network without BN does not learn
yet, and its gradients hardly turn, so that BN's turn more. While both learn,
with training accuracies from 20% to 90%, BN's turn less. The rule above was
chosen before any shift was measured.
"""

from experiments.base import Experiment
from experiments.covariate_shift.analysis import measure, present, shifts
from experiments.covariate_shift.claims import CLAIMS
from experiments.covariate_shift.figure import plot
from experiments.covariate_shift.runs import BASELINE, SCALES, config_of, runs

EXPERIMENT = Experiment(
  scales=SCALES,
  baseline=BASELINE,
  claims=CLAIMS,
  config_of=config_of,
  runs=runs,
  measure=measure,
  further_outcomes=shifts,
  present=present,
  plot=plot,
)
