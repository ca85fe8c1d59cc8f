"""The runs of `lr_multipliers/digits.py` on other seeds: do the verdicts stay?

python scripts/reproduce.py lr_multipliers --scale=digits_again --workdir=runs
"""

import ml_collections

from configs.lr_multipliers import digits


def get_config() -> ml_collections.ConfigDict:
  """The same; the seeds are those of the experiment's scale."""
  return digits.get_config()
