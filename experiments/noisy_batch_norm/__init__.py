"""Does noise on the distributions undo what BatchNorm does for training?

Figure 2 of *How Does Batch Normalization Help Optimization?* (Santurkar et al.
2018, [arXiv:1805.11604](https://arxiv.org/abs/1805.11604)): behind each
BatchNorm, every channel is shifted and scaled at random, anew at each step. If
BatchNorm helped because distributions are steady, that would undo it. The
control is the same noise without BatchNorm.

| in the figure and tables | means |
|---|---|
| line, band | mean and range over seeds |
| training accuracy | with the noise; mean over 10 steps, on CIFAR-10 over 25 |
| grey line | the target: 80% of it, on CIFAR-10 50%; of the paper, 90% |
| training steps, diamond | first of these means at the target; the median |
| change of mean | per channel, in its standard deviations |
| change of variance | per channel, as a share of it |
| absolute | the same changes in no unit, as the paper shows them |
| marks and bars by layer | mean over channels and training; range over seeds |
| grey images | shares of the values going into a ReLU (root), first seed |
| orange | of the first unit of that layer: 15th, 50th, 85th percentile |
| rises above guessing | more than 20% of training accuracy at the end |

Without a norm the scale of a layer is another, and grows while the network
learns: the verdicts are on changes in units of the channel.

| | here | paper |
|---|---|---|
| data | distorted digits; CIFAR-10 | CIFAR-10 |
| augmentation, weight decay | none | none |
| network | 5 or 6 convolutions, 16 to 64 channels | "VGG-like", deeper |
| first weights | Glorot, normal | Glorot |
| optimizer, batch | plain SGD, 128 | the same |
| learning rate | constant; tuned for each network, two seeds | 0.1 |
| steps | 500; 2,000 on CIFAR-10 | 15,000 |
| noise | Algorithm 1 with its numbers | the same |
| where | behind BatchNorm's scale and bias | behind BatchNorm |
| jitter of the scale | standard deviation 0.1 | 0.1, of what is not stated |
| changes | between batches 20 or 100 steps apart | successive steps |

"Does not hurt" is less than twice the training steps: the paper's own ratio is
1.5. It says nothing about held-out images, on which noisy BN is worse than the
standard network here. They are classified without noise: the layers behind it
then see smaller values than in training.

In 20 steps a network that learns moves further than in one; that adds most to
the changes of the standard network, against the claim.
"""

from experiments.base import Experiment
from experiments.noisy_batch_norm.analysis import further, measure, present
from experiments.noisy_batch_norm.claims import CLAIMS
from experiments.noisy_batch_norm.figure import plot
from experiments.noisy_batch_norm.runs import ARMS, SCALES, config_of, runs

EXPERIMENT = Experiment(
  scales=SCALES,
  tuned_arms=tuple(ARMS),
  tuned_by='train_accuracy',
  claims=CLAIMS,
  config_of=config_of,
  runs=runs,
  measure=measure,
  further_outcomes=further,
  present=present,
  plot=plot,
)
