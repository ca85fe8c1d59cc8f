"""How much faster does BatchNorm train Inception? On a laptop, in minutes.

The baseline of the experiment `speedup`: the small Inception without a norm, on
distorted digits. `experiments/speedup/runs.py` says what the others change.
docs/instrument.md says how the images, the length and the schedule were chosen.

  python scripts/reproduce.py speedup --scale=digits --workdir=runs
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """The un-normalized baseline; the paper does not give its own numbers."""
  config = base.get_config()
  config.label = 'speedup_digits'
  config.data.name = 'digits_affine'
  config.total_steps = 2_000
  config.eval_every = 100
  # Fits the cache of a core.
  config.eval_batch_size = 250
  config.model.name = 'inception'
  config.model.width = 1 / 6
  config.norm.name = 'none'
  # Tuned: results/speedup/digits.tuning.csv.
  config.optimizer.learning_rate = 0.02
  config.optimizer.weight_decay = 1e-4
  # To a tenth at the end, so that accuracies are calm there.
  config.schedule.name = 'exponential'
  config.schedule.decay_rate = 0.1
  config.schedule.decay_steps = config.total_steps
  return config
