"""Do standardized inputs widen the valley of a linear model? In a minute.

The raw features of the experiment `valley`: linear regression by full-batch
gradient descent. `experiments/valley/runs.py` has the other preparations, and
computes the best learning rate and the length of each run. Nothing here is of
the digits: the scale has the name of the embedded one everywhere.

  python scripts/reproduce.py valley --scale=digits --workdir=runs
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """A linear model on raw features, with a loss in each step."""
  config = base.get_config()
  config.label = 'valley_digits'
  config.data.name = 'valley/raw'
  # All training examples: gradient descent, and not a random batch.
  config.batch_size = 1_000
  config.total_steps = 1_000
  config.eval_every = 1_000
  config.eval_batch_size = 1_000
  config.log_every = 1
  config.model.name = 'mlp'
  config.model.widths = ()
  config.norm.name = 'none'
  config.optimizer.name = 'sgd'
  # 2 / (L + mu) of these examples: experiments/valley/quadratic.py.
  config.optimizer.learning_rate = 0.0437
  return config
