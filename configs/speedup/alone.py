"""Is the un-normalized network calm? Ten seeds of the baseline, alone.

Before any other network was trained, the images and the length of the runs were
chosen by these: docs/instrument.md.

  python scripts/sweep.py --config=configs/speedup/alone.py --workdir=runs/alone
"""

import ml_collections

from configs.speedup import digits


def get_config() -> ml_collections.ConfigDict:
  """The baseline, evaluated more often: when does it leave its plateau?"""
  config = digits.get_config()
  config.label = 'speedup_alone'
  config.eval_every = 50
  return config


def get_hyper(hyper: object) -> tuple[dict, ...]:
  """Seeds that are used for nothing else."""
  return hyper.sweep('config.seed', range(200, 210))
