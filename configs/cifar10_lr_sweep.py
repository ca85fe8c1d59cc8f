"""How far can the learning rate be turned up, with each norm? On CIFAR-10.

The runs of the experiment `lr_multipliers` at full width, for one GPU: the norms,
multipliers and seeds of `digits_lr_sweep`, the network and length of
`cifar10_speedup`. Its learning rate was chosen for the un-normalized network on
the digits, and is not tuned again here.

Time: not measured yet; 192 runs of 20,000 steps at batch 32.

  python scripts/sweep.py --config=configs/cifar10_lr_sweep.py --workdir=runs \
      --config.data.data_dir=DIR
  python scripts/reproduce.py lr_multipliers --scale=cifar10 --workdir=runs \
      --data_dir=DIR
"""

import ml_collections

from configs import cifar10_speedup, digits_lr_sweep


def get_config() -> ml_collections.ConfigDict:
  """The un-normalized baseline of the speed-up experiment, without dropout."""
  config = cifar10_speedup.get_config()
  config.label = 'cifar10_lr_sweep'
  # Which makes comparisons of networks that all train well harder to see.
  config.model.dropout = 0.0
  return config


def get_hyper(hyper: object) -> tuple[dict, ...]:
  """Each norm at each multiplier, as on the digits."""
  return digits_lr_sweep.grid(
    hyper,
    norms=digits_lr_sweep.NORMS,
    total_steps=get_config().total_steps,
    multipliers=digits_lr_sweep.MULTIPLIERS,
    seeds=digits_lr_sweep.SEEDS,
  )
