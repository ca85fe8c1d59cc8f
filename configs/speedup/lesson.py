"""The speed-up experiment within a lesson: a minute, three seeds.

A plain convolutional network in place of Inception, on the images of
`speedup/digits.py`. The runs are short: the network without a norm has not
arrived when they end.

  python scripts/reproduce.py speedup --scale=lesson --workdir=runs
"""

import ml_collections

from configs.speedup import digits


def get_config() -> ml_collections.ConfigDict:
  """The same data, with a network that takes seconds."""
  config = digits.get_config()
  config.label = 'speedup_lesson'
  config.total_steps = 600
  config.eval_every = 50
  config.model.name = 'cnn'
  config.model.width = None
  config.model.widths = (16, 32, 64)
  # Tuned: results/speedup/lesson.tuning.csv.
  config.optimizer.learning_rate = 0.16
  config.schedule.decay_steps = config.total_steps
  return config
