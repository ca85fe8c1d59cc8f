"""Does noise on the distributions undo BatchNorm? On a laptop, in minutes.

The baseline of the experiment `noisy_batch_norm`: a VGG-like network without a
norm, on distorted digits, trained as in section 2 of arXiv:1805.11604.
`experiments/noisy_batch_norm/runs.py` says what the others change.

  python scripts/reproduce.py noisy_batch_norm --scale=digits --workdir=runs
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """The standard network; the length was chosen by it alone."""
  config = base.get_config()
  config.label = 'noisy_batch_norm_digits'
  config.data.name = 'digits_affine'
  config.batch_size = 128
  config.total_steps = 500
  config.eval_every = 100
  # Fits the cache of a core.
  config.eval_batch_size = 250
  # Steps to an accuracy are counted in these.
  config.log_every = 10
  config.model.name = 'cnn'
  config.model.widths = (16, 32, 32, 64, 64)
  config.model.kernel_init = 'glorot_normal'
  config.norm.name = 'none'
  config.optimizer.name = 'sgd'
  # The paper's.
  config.optimizer.learning_rate = 0.1
  config.probes.names = ('outputs',)
  config.probes.every = 20
  return config
