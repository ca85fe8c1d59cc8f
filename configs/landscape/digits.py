"""How smooth is the loss around the parameters? On a laptop, in minutes.

The baseline of the experiment `landscape`: a VGG-like network without a norm,
on distorted digits. `experiments/landscape/runs.py` says what the others
change.

  python scripts/reproduce.py landscape --scale=digits --workdir=runs
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """The un-normalized baseline: plain SGD, as in the paper."""
  config = base.get_config()
  config.label = 'landscape_digits'
  config.data.name = 'digits_affine'
  config.batch_size = 128
  config.total_steps = 800
  config.eval_every = 50
  # Fits the cache of a core.
  config.eval_batch_size = 250
  # Tells when a training accuracy is reached.
  config.log_every = 10
  config.model.name = 'cnn'
  config.model.widths = (8, 16, 32, 64, 64)
  config.model.kernel_init = 'glorot_normal'
  config.norm.name = 'none'
  config.optimizer.name = 'sgd'
  # Tuned: results/landscape/digits.tuning.csv.
  config.optimizer.learning_rate = 0.4
  config.probes.names = ('landscape',)
  config.probes.every = 50
  # The ends are the paper's, the points between them ours.
  config.probes.step_lengths = (0.5, 0.75, 1.0, 1.5, 2.5, 4.0)
  return config
