"""Claim 12, as data. Margins were declared before the runs."""

from experiments.noisy_batch_norm.runs import ARMS, BN, CONTROL, NOISY, STANDARD
from normlab.analysis.claims import RATIO, SHARE, Claim, Comparison


def times(margin: float, against: str) -> Comparison:
  """Steps to the training accuracy with noise, beside the paper's."""
  published = ARMS[NOISY].paper_steps / ARMS[against].paper_steps
  return Comparison(
    RATIO, 'training_steps', NOISY, '<', margin, against, published
  )


CLAIMS = (
  Claim(
    12,
    'noise on the distributions after BatchNorm does not hurt, although they '
    'are less steady than without a norm; the same noise stops the standard '
    'network',
    '1805.11604, Fig. 2',
    (
      # Does not hurt: less than twice the steps. The paper's own ratio is 1.5.
      times(2, BN),
      times(1, STANDARD),
      Comparison(RATIO, 'change_of_mean', NOISY, '>', 1, STANDARD),
      Comparison(RATIO, 'change_of_variance', NOISY, '>', 1, STANDARD),
      Comparison(SHARE, 'rises_above_guessing', CONTROL, '<', 0.5),
    ),
  ),
)
