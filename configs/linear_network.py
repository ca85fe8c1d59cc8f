"""The deep linear network of arXiv:1805.11604: 25 layers of 10 x 10, no norm.

Full-batch gradient descent on y = A x (section 3, appendix A). The paper does
not say whether its loss is the mean over the examples, as here, or their sum.
With its rate of 1e-6 the mean hardly falls in 10,000 steps; taken as a sum over
1,000 examples, that rate is 1e-3 here. The layers have biases, which start at
zero.

Time: half a minute on two CPU cores.

  python scripts/train.py --config=configs/linear_network.py \
    --workdir=runs/linear_network --config.norm.name=batch
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """All examples in each step; the loss sums over the outputs."""
  config = base.get_config()
  config.label = 'linear_network'
  config.data.name = 'linear_map'
  # All training examples: gradient descent, and not a random batch.
  config.batch_size = 1_000
  config.total_steps = 10_000
  config.eval_every = 500
  config.eval_batch_size = 1_000
  # Without convolutions a loop is as fast as its body on a CPU too.
  config.steps_per_call = 50
  config.model.name = 'mlp'
  # The logits are the 25th layer.
  config.model.widths = (10,) * 24
  config.model.activation = 'identity'
  config.model.kernel_init = 'glorot_normal'
  config.norm.name = 'none'
  config.optimizer.name = 'sgd'
  config.optimizer.learning_rate = 1e-3
  return config
