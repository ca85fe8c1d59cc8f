"""The speed-up experiment on CIFAR-10, narrow and short, for two CPU cores.

The baseline of the experiment `speedup`: the small Inception without a norm.

Time: 45 minutes on two CPU cores for the whole experiment.

  python scripts/reproduce.py speedup --scale=cifar10_cpu --workdir=runs \
      --data_dir=DIR
"""

import ml_collections

from configs import cifar10_speedup


def get_config() -> ml_collections.ConfigDict:
  """A sixth of the width, a fifth of the steps."""
  config = cifar10_speedup.get_config()
  config.label = 'cifar10_cpu_speedup'
  config.model.width = 1 / 6
  config.total_steps = 4_000
  config.eval_every = 200
  config.schedule.decay_steps = 4_000
  return config
