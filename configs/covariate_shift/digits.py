"""Does BatchNorm reduce internal covariate shift? On a laptop, in minutes.

The convolutional network of the experiment `covariate_shift`, without a norm.
Plain gradient descent at a constant rate, as arXiv:1805.11604 has it: no
momentum, weight decay or augmentation.

  python scripts/reproduce.py covariate_shift --scale=digits --workdir=runs
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """Six convolutions; all kernels are measured."""
  config = base.get_config()
  config.label = 'covariate_shift_digits'
  config.data.name = 'digits_affine'
  config.batch_size = 128
  config.total_steps = 600
  config.eval_every = 100
  # Fits the cache of a core.
  config.eval_batch_size = 250
  config.model.widths = (16, 32, 32, 32, 32, 32)
  config.model.kernel_init = 'glorot_normal'
  config.norm.name = 'none'
  config.optimizer.name = 'sgd'
  # Tuned: results/covariate_shift/digits.tuning.csv.
  config.optimizer.learning_rate = 0.4
  config.probes.names = ('covariate_shift',)
  config.probes.every = 20
  # A training row at each measurement.
  config.log_every = 20
  return config
