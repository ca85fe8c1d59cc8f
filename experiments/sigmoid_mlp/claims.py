"""Claim 6, as data. Margins were declared before the runs."""

from experiments.sigmoid_mlp.runs import ARMS, BASELINE
from normlab.analysis.claims import DIFFERENCE, RATIO, Claim, Comparison

BN, WITHOUT = ARMS['with BN'], ARMS[BASELINE]

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
        'with BN',
        '<',
        1,
        BASELINE,
        BN.paper_steps / WITHOUT.paper_steps,
      ),
      Comparison(
        DIFFERENCE,
        'accuracy',
        'with BN',
        '>',
        0,
        BASELINE,
        BN.paper_accuracy - WITHOUT.paper_accuracy,
      ),
      Comparison(
        RATIO,
        'median_drift',
        'with BN',
        '<',
        0.5,
        BASELINE,
        BN.paper_drift / WITHOUT.paper_drift,
      ),
    ),
  ),
)
