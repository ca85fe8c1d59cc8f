"""Claim 11, as data. Margins were declared before the runs."""

import math
from collections.abc import Iterator

from experiments.covariate_shift.runs import ARMS, PAIRS
from normlab.analysis.claims import DIFFERENCE, RATIO, Claim, Comparison

# A reduction that counts: a fifth of the difference, 0.05 of the cosine.
# Without a margin, "does not reduce" would ask for a rise.
LEAST_RATIO, MOST_COSINE = 0.8, 0.05


def comparisons() -> Iterator[Comparison]:
  """Difference and cosine of each pair, beside those of the paper's figure."""
  for without, with_norm in PAIRS.items():
    ratio = cosine = None
    if ARMS[without].paper_difference:
      ratio, cosine = published(with_norm, without)
    yield Comparison(
      RATIO,
      'gradient_difference',
      with_norm,
      '>',
      LEAST_RATIO,
      without,
      ratio,
    )
    yield Comparison(
      DIFFERENCE,
      'gradient_cosine',
      with_norm,
      '<',
      MOST_COSINE,
      without,
      cosine,
    )


def published(with_norm: str, without: str) -> tuple[float, float]:
  """Ratio of the differences and difference of the cosines in the paper.

  Averaged over its two layers as `analysis.shifts` averages over all.
  """
  arms = ARMS[with_norm], ARMS[without]
  (a, b), (c, d) = (arm.paper_difference for arm in arms)
  (e, f), (g, h) = (arm.paper_cosine for arm in arms)
  return math.sqrt(a * b / (c * d)), (e + f - g - h) / 2


CLAIMS = (
  Claim(
    11,
    'internal covariate shift is not reduced by BatchNorm: when the earlier '
    'layers are updated, the gradient of a layer changes and turns no less '
    'with it than without',
    '1805.11604, Definition 2.1 and Fig. 3',
    tuple(comparisons()),
  ),
)
