"""The linear network of the experiment `covariate_shift`, in seconds.

25 layers, full batch: configs/linear_network.py, with a tenth of its steps.

  python scripts/reproduce.py covariate_shift --scale=digits --workdir=runs
"""

import ml_collections

from configs import linear_network


def get_config() -> ml_collections.ConfigDict:
  """As in the paper, but for the number of steps; all kernels are measured."""
  config = linear_network.get_config()
  config.label = 'covariate_shift_linear'
  config.total_steps = 1_000
  config.eval_every = 200
  config.probes.names = ('covariate_shift',)
  config.probes.every = 40
  config.log_every = 40
  config.steps_per_call = 40
  return config
