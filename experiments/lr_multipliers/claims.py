"""Claims 2, 3 and 5 again, with arms that differ in norm and rate alone."""

from experiments import speedup
from experiments.lr_multipliers.runs import BASELINE
from normlab.analysis.claims import DIFFERENCE, Claim, Comparison

# The networks of the paper, as cells of the grid.
ARMS = {
  'Inception': BASELINE,
  'BN-Baseline': 'batch x1',
  'BN-x5': 'batch x5',
  'BN-x30': 'batch x30',
}


def renamed(claim: Claim) -> Claim:
  """A claim of `speedup`, of the cells of the grid."""
  return claim._replace(
    comparisons=tuple(
      part._replace(arm=ARMS[part.arm], against=ARMS[part.against])
      for part in claim.comparisons
    )
  )


CLAIMS = (
  *(renamed(c) for c in speedup.EXPERIMENT.claims if c.number in (2, 3)),
  Claim(
    5,
    'without BatchNorm the larger learning rates diverge or train badly: five '
    'and thirty times the rate end 5 points lower',
    '1502.03167, section 4.2.2',
    tuple(
      Comparison(DIFFERENCE, 'accuracy', arm, '<', -0.05, BASELINE)
      for arm in ('none x5', 'none x30')
    ),
  ),
)
