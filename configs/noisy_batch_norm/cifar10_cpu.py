"""Does noise on the distributions undo BatchNorm? On CIFAR-10, two CPU cores.

The baseline of the experiment `noisy_batch_norm`: a VGG-like network without a
norm, trained as in section 2 of arXiv:1805.11604, narrower and shorter.

  python scripts/reproduce.py noisy_batch_norm --scale=cifar10_cpu \
      --workdir=runs --data_dir=DIR
"""

import ml_collections

from configs.noisy_batch_norm import digits


def get_config() -> ml_collections.ConfigDict:
  """As on the digits, on photographs: one layer and 1,500 steps more."""
  config = digits.get_config()
  config.label = 'noisy_batch_norm_cifar10_cpu'
  config.data.name = 'cifar10'
  config.total_steps = 2_000
  config.eval_every = 500
  config.eval_batch_size = 100
  config.log_every = 25
  config.model.widths = (16, 32, 32, 64, 64, 64)
  config.probes.every = 100
  return config
