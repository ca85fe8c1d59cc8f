"""Claims 13 and 14, as data. Margins were declared before the runs."""

from experiments.landscape.analysis import TO_MATCH
from experiments.landscape.runs import ARMS, BASELINE
from normlab.analysis.claims import DIFFERENCE, RATIO, Claim, Comparison

PAPER = '1805.11604'
# Steps to match, as a multiple of those of BatchNorm.
AS_SOON = 1.25
# Training accuracy at the end, less that of BatchNorm.
AS_HIGH = -0.02
# The digitised curves, mean of the last tenth, minus that of BN.
HIGHER = {'L1': 0.005, 'L2': 0.001, 'Linf': 0.007}


def narrower(outcome: str, published: float) -> Comparison:
  """BatchNorm has less of it."""
  return Comparison(RATIO, outcome, 'BN', '<', 1, BASELINE, published)


def as_soon(arm: str, relation: str = '<') -> Comparison:
  """Whether an arm learns the training set about as soon as BatchNorm."""
  published = ARMS[arm].paper_steps / ARMS['BN'].paper_steps
  return Comparison(RATIO, TO_MATCH, arm, relation, AS_SOON, 'BN', published)


CLAIMS = (
  Claim(
    13,
    'along the gradient, BatchNorm makes the loss vary less, gradients more '
    'predictive and the effective smoothness better',
    f'{PAPER}, Fig. 4',
    # Medians there over the first 1,500 of 15,000 steps, digitised.
    (
      narrower('loss_band', 0.6 / 1.4),
      narrower('gradient_band', 16 / 44),
      narrower('smoothness', 17.6 / 20.5),
    ),
  ),
  Claim(
    14,
    'normalization by the l1, l2 or l-infinity norm trains as well as '
    'BatchNorm, and unlike the network without a norm',
    f'{PAPER}, Fig. 5',
    (
      *(as_soon(arm) for arm in HIGHER),
      as_soon(BASELINE, '>'),
      *(
        Comparison(
          DIFFERENCE, 'train_accuracy', arm, '>', AS_HIGH, 'BN', published
        )
        for arm, published in HIGHER.items()
      ),
    ),
  ),
)
