"""The speed-up experiment within a lesson: under a minute, three seeds.

A small convolutional network in place of Inception; see `speedup/digits.py`.

  python scripts/reproduce.py speedup --scale=lesson --workdir=runs
"""

import ml_collections

from configs.speedup import digits


def get_config() -> ml_collections.ConfigDict:
  """The same data, with a network that takes seconds."""
  config = digits.get_config()
  config.label = 'speedup_lesson'
  config.total_steps = 400
  config.eval_every = 25
  config.model.name = 'cnn'
  config.model.width = None
  config.model.widths = (8, 16, 32)
  config.schedule.decay_steps = config.total_steps
  return config
