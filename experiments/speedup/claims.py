"""Claims 1 to 5, as data. Margins were declared before the runs."""

from experiments.speedup.runs import ARMS, BASELINE
from normlab.analysis.claims import DIFFERENCE, RATIO, SHARE, Claim, Comparison

SOURCE = '1502.03167, Fig. 2 and 3'


def times(arm: str, relation: str, margin: float, against: str) -> Comparison:
  """Steps to match, beside the paper's."""
  published = ARMS[arm].paper_steps / ARMS[against].paper_steps
  return Comparison(
    RATIO, 'steps_to_match', arm, relation, margin, against, published
  )


CLAIMS = (
  Claim(
    1,
    'a network with BatchNorm reaches the accuracy of the one without in fewer '
    'than half the steps',
    SOURCE,
    (times('BN-Baseline', '<', 0.5, BASELINE),),
  ),
  Claim(
    2,
    'five times the learning rate reaches it sooner still',
    SOURCE,
    (times('BN-x5', '<', 1, 'BN-Baseline'),),
  ),
  Claim(
    3,
    'thirty times the learning rate is slower than five times at first, and '
    'ends higher',
    SOURCE,
    (
      times('BN-x30', '>', 1, 'BN-x5'),
      Comparison(DIFFERENCE, 'accuracy', 'BN-x30', '>', 0, 'BN-x5', 0.018),
    ),
  ),
  Claim(
    4,
    'a sigmoid network trains with BatchNorm, and not at all without',
    f'{SOURCE}, section 4.2.2',
    (
      Comparison(SHARE, 'trains', 'BN-x5-Sigmoid', '>', 0.5),
      Comparison(SHARE, 'trains', 'Inception-Sigmoid', '<', 0.5),
    ),
  ),
  Claim(
    5,
    'without BatchNorm a learning rate five times as high diverges or trains '
    'badly: it ends 5 points lower',
    f'{SOURCE}, section 4.2.2',
    (Comparison(DIFFERENCE, 'accuracy', 'Inception-x5', '<', -0.05, BASELINE),),
  ),
)
