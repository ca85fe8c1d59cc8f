"""Which changes of weights and data does each norm not see?

Table 1 of *Layer Normalization* (Ba, Kiros & Hinton 2016,
[arXiv:1607.06450](https://arxiv.org/abs/1607.06450)), with the row of *Root
Mean Square Layer Normalization*
([arXiv:1910.07467](https://arxiv.org/abs/1910.07467)): BatchNorm, WeightNorm,
LayerNorm and RMSNorm under six changes. Here every norm of `normlab.norms`
stands in it, after a dense layer and after a convolution. Then BN((aW)u) =
BN(Wu) (1502.03167, section 3.3), the limit cases of GroupNorm (1803.08494), and
the gradient norm of Theorem 4.1 (1805.11604).

Nothing is trained, and no data are read, also not at the scale `digits`, the
name that all experiments share: weights and data are normal numbers, other ones
for each seed.

| in the figure and tables | means |
|---|---|
| deviation | largest difference, relative to the largest entry |
| yes, not seen | output and both gradients deviate by less than 1e-4 |
| no, seen | the output, or a gradient, deviates by more than 1e-2 |
| undecided | anything between |
| number in a cell | that of the seed that speaks most against the answer |
| rescaled | times 3 |
| recentred weights | the same vector is added to the weights of every unit |
| recentred data | the same vector is added to every case and position |
| one unit, one case | of 8 units, of 8 cases |
| LayerNorm | over the channels, at each position |
| GroupNorm(1) | LayerNorm over an example, its positions included |
| BatchRenorm, at first | up to step 5,000, where r = 1 and d = 0 |

Where f(a w + b) = f(w) for all w, the gradient at a w + b is 1/a of that at w.
That is the prediction for the gradients, and claim 8 is a case of it.

| | here | papers |
|---|---|---|
| how | measured, in float64 | derived |
| epsilon | 1e-30 | none in the formulas |
| layer | dense; 1 x 1 convolution | dense |
| scale and bias | as initialized | learned |
| random noise | the same before and after | not in the table |
| end of Theorem 4.1 | 1/m; 1/sqrt(m) is the control | 1/sqrt(m) |

The formulas have no epsilon. With one, and variance v, rescaling by a changes
the output by at most epsilon / (2 v) of it: 5e-6 at the default of BatchNorm
and v = 1. Where v is far below epsilon, the norm only rescales.

After a convolution, the shift by recentred weights differs from position to
position. Only a norm of each position can take it away: GroupNorm pools
positions, and sees it. BatchRenorm, once r and d are let go, normalizes by its
running statistics, which have not seen the change; EvoNorm-S0 and dynamic tanh
squash, and a factor moves what they squash.
"""

from experiments.base import Experiment
from experiments.invariances.analysis import outcomes_of, present
from experiments.invariances.arms import SCALES
from experiments.invariances.claims import CLAIMS
from experiments.invariances.deviations import compute
from experiments.invariances.figure import plot

EXPERIMENT = Experiment(
  scales=SCALES,
  claims=CLAIMS,
  compute=compute,
  further_outcomes=outcomes_of,
  present=present,
  plot=plot,
)
