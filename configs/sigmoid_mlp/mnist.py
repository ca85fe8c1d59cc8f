"""The network of Figure 1 of arXiv:1502.03167 at its own size, on MNIST.

The baseline of the experiment `sigmoid_mlp`; a minute a run on a CPU.

  python scripts/reproduce.py sigmoid_mlp --scale=mnist --workdir=runs \
      --data_dir=DIR
"""

import ml_collections

from configs.sigmoid_mlp import digits

# Of the digits, until they are tuned here: --tune.
RATES = {'none': 2.0, 'batch': 1.0}


def get_config() -> ml_collections.ConfigDict:
  """The paper's input, batch and length."""
  config = digits.get_config()
  config.label = 'sigmoid_mlp_mnist'
  config.data.name = 'binary_mnist'
  config.total_steps = 50_000
  config.eval_every = 1_000
  config.log_every = 1_000
  config.steps_per_call = 1_000
  config.checkpoint_every = 10_000
  config.probes.every = 1_000
  config.optimizer.learning_rate = RATES['none']
  return config
