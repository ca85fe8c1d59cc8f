"""How far can the learning rate be turned up, with each norm? On CIFAR-10.

The baseline and the grid of the experiment `lr_multipliers` at full width, for
one GPU: the norms and multipliers of `lr_multipliers/digits.py`, the network
and length of `speedup/cifar10.py`.

  python scripts/sweep.py --config=configs/lr_multipliers/cifar10.py \
      --config.data.data_dir=DIR
  python scripts/reproduce.py lr_multipliers --scale=cifar10 --workdir=runs \
      --data_dir=DIR
"""

import ml_collections

from configs.lr_multipliers import digits
from configs.speedup import cifar10


def get_config() -> ml_collections.ConfigDict:
  """The un-normalized baseline of the speed-up experiment."""
  config = cifar10.get_config()
  config.label = 'lr_multipliers_cifar10'
  return config


def get_hyper(hyper: object) -> tuple[dict, ...]:
  """Each norm at each multiplier, as on the digits."""
  return digits.grid(
    hyper, digits.NORMS, digits.MULTIPLIERS, get_config().total_steps
  )
