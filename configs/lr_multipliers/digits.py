"""How far can the learning rate be turned up, with each norm? On a laptop.

The runs of the experiment `lr_multipliers`: eight norms, eight multipliers of
the learning rate from 1/10 to 100, three seeds. All else is the same for all.

Expected: within a point of its best, the network without a norm bears
multipliers from 1 to 3, with BatchNorm from 1 to 10; at 30 it does not train
without a norm, and with BatchNorm to 95%. The validation split has 360 images:
a point is four.
Time: 5 minutes on two CPU cores.

  python scripts/sweep.py --config=configs/lr_multipliers/digits.py \
      --workdir=runs
  python scripts/reproduce.py lr_multipliers --scale=digits --workdir=runs
"""

import ml_collections

from configs import base

NORMS = (
  'none',
  'batch',
  'batch_renorm',
  'layer',
  'group',
  'instance',
  'rms',
  'weight',
)
# With 1, 5 and 30, which the paper compares (1502.03167, section 4.2). Tables
# of a sweep measure steps to the best of its first run: so 1 comes first.
MULTIPLIERS = (1.0, 0.1, 0.3, 3.0, 5.0, 10.0, 30.0, 100.0)
SEEDS = (0, 1, 2)


def get_config() -> ml_collections.ConfigDict:
  """The un-normalized baseline: a small network, tuned without a norm."""
  config = base.get_config()
  config.label = 'lr_multipliers_digits'
  config.total_steps = 300
  config.eval_every = 25
  config.log_every = 25
  config.model.name = 'cnn'
  config.model.widths = (16, 32, 64)
  config.norm.name = 'none'
  # Of 0.01, 0.03, 0.06, 0.1 and 0.2 the one with the highest accuracy, mean of
  # three seeds (0.1 is as high): multipliers then are of the best rate without
  # a norm, not of one that any network could raise.
  config.optimizer.learning_rate = 0.06
  config.optimizer.weight_decay = 1e-4
  config.schedule.name = 'exponential'
  config.schedule.decay_rate = 0.6
  config.schedule.decay_steps = 300
  return config


def get_hyper(hyper: object) -> tuple[dict, ...]:
  """Each norm at each multiplier, and that with each seed."""
  return grid(
    hyper,
    norms=NORMS,
    total_steps=get_config().total_steps,
    multipliers=MULTIPLIERS,
    seeds=SEEDS,
  )


def grid(
  hyper: object,
  *,
  norms: tuple[str, ...],
  total_steps: int,
  multipliers: tuple[float, ...],
  seeds: tuple[int, ...],
) -> tuple[dict, ...]:
  """All combinations; every one of a seed before the next seed.

  Args:
    hyper: the language, `normlab.sweeps.language.hyper`.
    norms: by name.
    total_steps: of a run.
    multipliers: of the learning rate.
    seeds: of the runs.
  """
  return hyper.product(
    [
      hyper.sweep('config.seed', seeds),
      hyper.chainit(with_settings(hyper, name, total_steps) for name in norms),
      hyper.sweep('config.optimizer.learning_rate_multiplier', multipliers),
    ]
  )


def with_settings(
  hyper: object, name: str, total_steps: int
) -> tuple[dict, ...]:
  """A norm, with the settings that runs of this length need, as one row."""
  settings = {
    # The default, 0.99, is too slow for some hundred steps.
    'batch': {'momentum': 0.9},
    # The paper relaxes the corrections in the first 40,000 of its 130,000 steps
    # or so (1702.03275, section 4.1).
    'batch_renorm': {'momentum': 0.9, 'schedule_scale': total_steps / 130_000},
    # The default, 32 groups, is more than the channels of the first layer.
    'group': {'num_groups': 8},
  }
  fields = settings.get(name, {})
  return hyper.zipit(
    [
      hyper.sweep('config.norm.name', [name]),
      *(hyper.fixed(f'config.norm.{key}', fields[key]) for key in fields),
    ]
  )
