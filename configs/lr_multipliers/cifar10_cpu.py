"""The sweep of the learning rate on CIFAR-10, short, for two CPU cores.

The baseline and the grid of the experiment `lr_multipliers`: six norms, eight
multipliers, a convolutional network of four layers, a quarter of an epoch.

  python scripts/sweep.py --config=configs/lr_multipliers/cifar10_cpu.py \
      --workdir=runs --config.data.data_dir=DIR
  python scripts/reproduce.py lr_multipliers --scale=cifar10_cpu \
      --data_dir=DIR
"""

import ml_collections

from configs.lr_multipliers import digits

NORMS = ('none', 'batch', 'batch_renorm', 'layer', 'group', 'weight')
# 1 first, for the reason in `lr_multipliers/digits.py`.
MULTIPLIERS = (1.0, 0.1, 0.3, 2.0, 5.0, 10.0, 30.0, 90.0)


def get_config() -> ml_collections.ConfigDict:
  """The un-normalized baseline, tuned without a norm as that on the digits."""
  config = digits.get_config()
  config.label = 'lr_multipliers_cifar10_cpu'
  config.data.name = 'cifar10'
  config.model.widths = (16, 16, 32, 32)
  # Tuned: results/lr_multipliers/cifar10_cpu.tuning.csv.
  config.optimizer.learning_rate = 0.04
  config.total_steps = 400
  config.eval_every = 80
  config.log_every = 80
  # Fits the cache of a core.
  config.eval_batch_size = 100
  config.schedule.decay_steps = 400
  return config


def get_hyper(hyper: object) -> tuple[dict, ...]:
  """Each norm at each multiplier, with three seeds."""
  return digits.grid(hyper, NORMS, MULTIPLIERS, get_config().total_steps)
