"""Claim 25, as data. Margins were declared before the runs."""

from normlab.analysis.claims import RATIO, Claim, Comparison

CLAIMS = (
  Claim(
    25,
    'standardized inputs make gradient descent on a linear model converge '
    'faster: the narrow valley becomes a bowl',
    'lecture material',
    (
      Comparison(RATIO, 'condition_number', 'raw', '>', 2, 'standardized'),
      Comparison(RATIO, 'updates_to_1_percent', 'raw', '>', 2, 'standardized'),
    ),
  ),
)
