"""Claims 8, 15, 26 and 27, as data; each with a control that must fail.

An identity between formulas that are analytic nearly everywhere holds for all
weights and data or for almost none, so that one seed would decide. Ten guard
against the special ones, and against an accident of rounding.
"""

from experiments.invariances.arms import LIMITS, PAPER, PRINTED, THEOREM
from normlab.analysis.claims import SHARE, Claim, Comparison


def mostly(outcome: str, arm: str) -> Comparison:
  """The outcome is true for more than half of the seeds."""
  return Comparison(SHARE, outcome, arm, '>', 0.5)


def rarely(outcome: str, arm: str) -> Comparison:
  """The outcome is true for less than half of the seeds."""
  return Comparison(SHARE, outcome, arm, '<', 0.5)


CLAIMS = (
  Claim(
    8,
    'a factor on the weights changes nothing: BN((aW)u) = BN(Wu), with the '
    'same gradient to u, and 1/a of that to W as that to aW',
    '1502.03167, section 3.3',
    (
      mostly('ignores_rescaled_weights', 'BatchNorm'),
      rarely('ignores_rescaled_weights', 'identity'),
    ),
  ),
  Claim(
    15,
    'the gradient norm of Theorem 4.1 is an equality with 1/m as the last '
    'coefficient; with 1/sqrt(m), as printed, it is not even a bound',
    '1805.11604, Theorem 4.1',
    (mostly('is_an_equality', THEOREM), rarely('is_a_bound', PRINTED)),
  ),
  Claim(
    26,
    'each of BatchNorm, WeightNorm, LayerNorm and RMSNorm ignores the changes '
    'of weights and data that the table says, and no others',
    '1607.06450, Table 1; 1910.07467',
    tuple(mostly('matches_the_table', arm) for arm in PAPER),
  ),
  Claim(
    27,
    'one group makes GroupNorm LayerNorm, a group per channel makes it '
    'InstanceNorm, and one example makes BatchNorm InstanceNorm; two groups or '
    'examples do not',
    '1803.08494, section 3',
    tuple(
      (mostly if limit.equal else rarely)('are_equal', name)
      for name, limit in LIMITS.items()
    ),
  ),
)
