"""Claim 25, as data.

The margins were declared before the runs, and after the condition numbers of
the features were known: the first comparison could be computed by then.
"""

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
