"""Internal covariate shift on CIFAR-10, narrow and short, for two CPU cores.

The convolutional network of the experiment `covariate_shift`, without a norm,
at the rates of the paper.

  python scripts/reproduce.py covariate_shift --scale=cifar10_cpu \
      --workdir=runs --data_dir=DIR
"""

import ml_collections

from configs.covariate_shift import digits


def get_config() -> ml_collections.ConfigDict:
  """As on the digits, on photographs, at the paper's rate."""
  config = digits.get_config()
  config.label = 'covariate_shift_cifar10_cpu'
  config.data.name = 'cifar10'
  config.total_steps = 4_000
  config.eval_every = 400
  # Fits the cache of a core.
  config.eval_batch_size = 100
  config.optimizer.learning_rate = 0.1
  config.probes.every = 100
  config.log_every = 100
  return config
