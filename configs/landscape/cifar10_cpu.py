"""The landscape on CIFAR-10, narrow and short, for two CPU cores.

The baseline of the experiment `landscape`: a VGG-like network without a norm.

  python scripts/reproduce.py landscape --scale=cifar10_cpu --workdir=runs \
      --data_dir=DIR
"""

import ml_collections

from configs.landscape import digits


def get_config() -> ml_collections.ConfigDict:
  """One more layer, and more than twice the steps."""
  config = digits.get_config()
  config.label = 'landscape_cifar10_cpu'
  config.data.name = 'cifar10'
  config.total_steps = 2_000
  config.eval_every = 200
  config.eval_batch_size = 100
  config.model.widths = (16, 32, 32, 64, 64, 128)
  # The paper's, until it is tuned here: --tune.
  config.optimizer.learning_rate = 0.1
  config.probes.every = 100
  return config
