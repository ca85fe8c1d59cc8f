"""The speed-up experiment on CIFAR-10 at full width, for one GPU.

The baseline of the experiment `speedup`: the small Inception without a norm.

  python scripts/reproduce.py speedup --scale=cifar10 --workdir=runs \
      --data_dir=DIR
"""

import ml_collections

from configs.speedup import digits


def get_config() -> ml_collections.ConfigDict:
  """As on the digits, on photographs: wider and longer."""
  config = digits.get_config()
  config.label = 'speedup_cifar10'
  config.data.name = 'cifar10'
  config.model.width = 1.0
  # The learning rate is that of the digits, until it is tuned here: --tune.
  config.total_steps = 20_000
  config.eval_every = 250
  config.log_every = 250
  config.schedule.decay_steps = config.total_steps
  return config
