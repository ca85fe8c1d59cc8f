"""The runs of `speedup/digits.py` on other images of the same recipe.

python scripts/reproduce.py speedup --scale=digits_redrawn \
      --workdir=runs
"""

import ml_collections

from configs.speedup import digits


def get_config() -> ml_collections.ConfigDict:
  """The same, with another seed of the data set."""
  config = digits.get_config()
  config.label = 'speedup_redrawn'
  config.data.name = 'digits_affine/1'
  return config
