"""How many training steps does BatchNorm save Inception?

Figure 2 and the table of Figure 3 of *Batch Normalization* (Ioffe & Szegedy
2015, [arXiv:1502.03167](https://arxiv.org/abs/1502.03167)): five networks, and
two controls that the text mentions.

| in the figure and tables | means |
|---|---|
| line, band | mean and range over seeds |
| grey line | the target: where Inception ends, on seeds of its own |
| diamond | median steps to the target |
| strip | the verdicts on claims 1 to 3, if the target were another |
| cross | divergence; the accuracy at the end then is 0 |
| accuracy at the end | mean of the last three evaluations |
| speed-up | median ratio of the steps, over all pairs of seeds |

| | here | paper |
|---|---|---|
| data | distorted digits, CIFAR-10 | ImageNet |
| network | small Inception (1611.03530) | BN-Inception, 13.6M parameters |
| optimizer | SGD with momentum 0.9 | asynchronous SGD |
| batch | 32 | 32 |
| steps | the same for all | 31 million; from x5 on, at most a fifth |
| learning rate at x1 | tuned without a norm | 0.0015 |
| decay of the rate | the same for all | six times as fast from x5 on |
| dropout, local response normalization | none | without a norm only |
| weight decay | the same for all | a fifth from x5 on |

The networks differ in norm, rate and activation alone. The paper's faster decay
goes with its shorter training of these networks: by the end, the rate has
fallen by the same factor here and there.
"""

from experiments.base import Experiment
from experiments.speedup.analysis import present
from experiments.speedup.claims import CLAIMS
from experiments.speedup.figure import plot
from experiments.speedup.runs import BASELINE, SCALES, config_of, runs

EXPERIMENT = Experiment(
  scales=SCALES,
  baseline=BASELINE,
  claims=CLAIMS,
  config_of=config_of,
  runs=runs,
  present=present,
  plot=plot,
)
