"""Why does it help to standardize the inputs?

Not of a paper: what lectures draw. The loss of a linear model is a quadratic,
whose curvature is that of the features' second moments. Features of other
scales and means make it a narrow valley, across which gradient descent bounces
while it hardly moves along; standardized, a bowl.

| in the figure and tables | means |
|---|---|
| left, middle | loss of two weights, each contour a quarter of the next |
| red | gradient descent in closed form, from the worst start |
| mark on the right | a run; hollow: of a network, with a hidden layer |
| line | steps that are enough for the linear model, from any start |
| condition number | largest by smallest curvature, of the linear model |
| raw | deviations from 0.3 to 3, means as large, correlations of 0.5 |
| centred, standardized | means 0; and variances 1 |
| whitened | and no correlation |

| our choice | |
|---|---|
| task | 10 features, a bias, 1,000 examples; y is linear in x, without noise |
| optimizer | gradient descent: all examples in each step |
| learning rate, linear model | 2 / (L + mu): no fixed one is better |
| learning rate, network | tuned for each preparation |
| network | one hidden layer of 32 ReLUs, 1,000 steps |
| arrived | the training loss is 1% of that before the first step |
| initial weights | variance 1/10, whatever the features |
| seeds | draw scales, means, examples, target and initial weights |

The smallest loss is zero, so that 1% of the loss is 1% of the gap. The gain of
standardizing goes as far as scales and means are to blame: what remains is the
correlation, which whitening removes.
"""

from experiments.base import Experiment
from experiments.valley.analysis import further_outcomes, measure, present
from experiments.valley.claims import CLAIMS
from experiments.valley.figure import plot
from experiments.valley.runs import NETWORKS, SCALES, config_of, runs

EXPERIMENT = Experiment(
  scales=SCALES,
  claims=CLAIMS,
  config_of=config_of,
  runs=runs,
  measure=measure,
  tuned_arms=tuple(NETWORKS),
  further_outcomes=further_outcomes,
  present=present,
  plot=plot,
)
