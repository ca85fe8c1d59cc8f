"""How far can the learning rate be turned up, with each norm? On a laptop.

The baseline and the grid of the experiment `lr_multipliers`: eight norms, eight
multipliers of the learning rate from 1/10 to 100. All else is the same for all.

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


def get_config() -> ml_collections.ConfigDict:
  """The un-normalized baseline: a small network, tuned without a norm."""
  config = base.get_config()
  config.label = 'lr_multipliers_digits'
  config.data.name = 'digits_affine'
  config.total_steps = 1_000
  config.eval_every = 50
  config.eval_batch_size = 250
  config.log_every = 50
  config.model.name = 'cnn'
  config.model.widths = (16, 32, 64)
  config.norm.name = 'none'
  # Tuned: results/lr_multipliers/digits.tuning.csv.
  config.optimizer.learning_rate = 0.16
  config.optimizer.weight_decay = 1e-4
  config.schedule.name = 'exponential'
  config.schedule.decay_rate = 0.03
  config.schedule.decay_steps = config.total_steps
  return config


def get_hyper(hyper: object) -> tuple[dict, ...]:
  """Each norm at each multiplier, with three seeds."""
  return grid(hyper, NORMS, MULTIPLIERS, get_config().total_steps)


def grid(
  hyper: object,
  norms: tuple[str, ...],
  multipliers: tuple[float, ...],
  total_steps: int,
) -> tuple[dict, ...]:
  """All combinations; every one of a seed before the next seed.

  Args:
    hyper: the language, `normlab.sweeps.language.hyper`.
    norms: by name.
    multipliers: of the learning rate.
    total_steps: of a run.
  """
  rows = [
    hyper.zipit(
      [
        hyper.sweep('config.norm.name', [norm]),
        *(
          hyper.fixed(f'config.norm.{field}', value)
          for field, value in settings(norm, total_steps).items()
        ),
      ]
    )
    for norm in norms
  ]
  return hyper.product(
    [
      hyper.sweep('config.seed', range(3)),
      hyper.chainit(rows),
      hyper.sweep('config.optimizer.learning_rate_multiplier', multipliers),
    ]
  )


def settings(norm: str, total_steps: int) -> dict[str, float]:
  """The fields of `config.norm` that runs of this length need."""
  return {
    # Slower averages lag behind the weights: docs/instrument.md.
    'batch': {'momentum': 0.7, 'debias': True},
    # The paper relaxes the corrections in the first 40,000 of its 130,000 steps
    # or so (1702.03275, section 4.1).
    'batch_renorm': {'momentum': 0.7, 'schedule_scale': total_steps / 130_000},
    # The default, 32 groups, is more than the channels of the first layer.
    'group': {'num_groups': 8},
  }.get(norm, {})
