"""How much faster does BatchNorm train Inception? On a laptop, in minutes.

The baseline of the experiment `speedup`: the small Inception without a norm,
on the embedded digits. `experiments/speedup/networks.py` says what the other
networks change.

Expected: BatchNorm matches the baseline's best accuracy in fewer steps, and
with five times the learning rate in a third of them.
Time: 2 minutes on two CPU cores for the whole experiment.

  python scripts/reproduce.py speedup --scale=digits --workdir=runs
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """The un-normalized baseline; the paper does not give its own numbers."""
  config = base.get_config()
  config.label = 'speedup_digits'
  config.total_steps = 1_500
  config.eval_every = 25
  config.model.name = 'inception'
  config.model.width = 1 / 6
  # GoogLeNet's dropout in front of the classifier (1502.03167, 4.2.3).
  config.model.dropout = 0.4
  config.norm.name = 'none'
  # Of 0.003, 0.01, 0.02, 0.03 and 0.06 the one with the highest accuracy at the
  # end, mean of three seeds (0.03 peaks as high and ends lower): a baseline
  # that is not tuned makes whatever is compared with it look good.
  config.optimizer.learning_rate = 0.02
  config.optimizer.weight_decay = 1e-4
  # To 0.6 of the rate at the end of the run: slow, so that decaying six times
  # faster (to 0.05) is a change that matters.
  config.schedule.name = 'exponential'
  config.schedule.decay_rate = 0.6
  config.schedule.decay_steps = 1_500
  return config
