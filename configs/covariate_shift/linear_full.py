"""The linear network of the experiment `covariate_shift`, for 10,000 steps.

25 layers, full batch: configs/linear_network.py.

  python scripts/reproduce.py covariate_shift --scale=cifar10_cpu \
    --workdir=runs --data_dir=DIR
"""

import ml_collections

from configs.covariate_shift import linear


def get_config() -> ml_collections.ConfigDict:
  """The steps of the paper."""
  config = linear.get_config()
  config.label = 'covariate_shift_linear_full'
  config.total_steps = 10_000
  config.eval_every = 1_000
  config.probes.every = 250
  config.log_every = 250
  config.steps_per_call = 50
  return config
