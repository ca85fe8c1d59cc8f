"""The runs of `digits.py` and `digits_again.py` as one: ten seeds.

python scripts/reproduce.py lr_multipliers --scale=digits_full --workdir=runs
"""

import ml_collections

from configs.lr_multipliers import digits


def get_config() -> ml_collections.ConfigDict:
  """The same; the seeds are those of the experiment's scale."""
  return digits.get_config()
