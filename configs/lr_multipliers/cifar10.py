"""How far can the learning rate be turned up, with each norm? On CIFAR-10.

The runs of the experiment `lr_multipliers` at full width, for one GPU: the
norms, multipliers and seeds of `lr_multipliers/digits.py`, the network and
length of `speedup/cifar10.py`. Its learning rate was chosen for the
un-normalized network on the digits, and is not tuned again here.

Time: not measured yet; 192 runs of 20,000 steps at batch 32.

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
