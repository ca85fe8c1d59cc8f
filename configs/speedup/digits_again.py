"""The runs of `speedup/digits.py` on other seeds: do the verdicts stay?

python scripts/reproduce.py speedup --scale=digits_again --workdir=runs
"""

import ml_collections

from configs.speedup import digits


def get_config() -> ml_collections.ConfigDict:
  """The same; the seeds are those of the experiment's scale."""
  return digits.get_config()
