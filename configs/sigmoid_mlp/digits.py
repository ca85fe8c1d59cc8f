"""What does BatchNorm change in three layers of sigmoids? On a laptop.

The baseline of the experiment `sigmoid_mlp`: the network of section 4.1 of
arXiv:1502.03167 without a norm, on distorted digits.

  python scripts/reproduce.py sigmoid_mlp --scale=digits --workdir=runs
"""

import ml_collections

from configs import base

# Tuned for each network: results/sigmoid_mlp/digits.tuning.csv.
RATES = {'none': 2.0, 'batch': 1.0}


def get_config() -> ml_collections.ConfigDict:
  """The un-normalized baseline; the length was chosen by it alone."""
  config = base.get_config()
  config.label = 'sigmoid_mlp_digits'
  config.data.name = 'digits_affine'
  config.batch_size = 60
  config.total_steps = 8_000
  config.eval_every = 200
  config.log_every = 200
  # There is no convolution, which a CPU runs slowly in a loop.
  config.steps_per_call = 200
  config.checkpoint_every = 4_000
  config.model.name = 'mlp'
  config.model.widths = (100, 100, 100)
  config.model.activation = 'sigmoid'
  config.model.kernel_init = 'small_normal'
  config.norm.name = 'none'
  config.optimizer.name = 'sgd'
  config.optimizer.learning_rate = RATES['none']
  config.probes.names = ('outputs',)
  config.probes.every = 200
  return config
