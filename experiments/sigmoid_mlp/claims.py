"""Claim 6, as data. Margins were declared before the runs."""

from experiments.sigmoid_mlp.runs import ARMS, BASELINE
from normlab.analysis.claims import DIFFERENCE, RATIO, Claim, Comparison

BN, WITHOUT = ARMS['BN-Sigmoids'], ARMS[BASELINE]

CLAIMS = (
  Claim(
    6,
    'three layers of sigmoids learn faster with BatchNorm and end higher, and '
    'the input of the last layer is steadier: its median drifts less than half '
    'as far',
    '1502.03167, Fig. 1',
    (
      Comparison(
        RATIO,
        'steps_to_match',
        'BN-Sigmoids',
        '<',
        1,
        BASELINE,
        BN.paper_steps / WITHOUT.paper_steps,
      ),
      Comparison(
        DIFFERENCE,
        'accuracy',
        'BN-Sigmoids',
        '>',
        0,
        BASELINE,
        BN.paper_accuracy - WITHOUT.paper_accuracy,
      ),
      Comparison(
        RATIO,
        'median_drift',
        'BN-Sigmoids',
        '<',
        0.5,
        BASELINE,
        BN.paper_drift / WITHOUT.paper_drift,
      ),
    ),
  ),
)
