"""The speed-up experiment on CIFAR-10, narrow and short, for two CPU cores.

The baseline of the experiment `speedup`: the small Inception without a norm.

  python scripts/reproduce.py speedup --scale=cifar10_cpu --workdir=runs \
      --data_dir=DIR
"""

import ml_collections

from configs.speedup import cifar10


def get_config() -> ml_collections.ConfigDict:
  """A sixth of the width, a third of the steps."""
  config = cifar10.get_config()
  config.label = 'speedup_cifar10_cpu'
  config.model.width = 1 / 6
  config.total_steps = 6_000
  config.eval_every = 300
  # Fits the cache of a core: a quarter faster than 500 at a time.
  config.eval_batch_size = 100
  config.schedule.decay_steps = config.total_steps
  return config
