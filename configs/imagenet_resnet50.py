"""ResNet-50 on ImageNet: does this trainer reach the published accuracy?

The recipe of Goyal et al. 2017 (arXiv:1706.02677, section 5.1) for batches of
256: 90 epochs of random resized crops and mirrored images; the rate drops to a
tenth after 30, 60 and 80. One difference: the paper starts the last scale of
each residual block at zero.

Expected: 76.4% on the test split, which is ImageNet's validation set, with one
central crop (the paper: error 23.60% +- 0.12). Not run here yet. The validation
split is 1% of the training images.
Time: not measured yet; 115 million images.

  python scripts/train.py --config=configs/imagenet_resnet50.py --workdir=DIR

Another norm: --config.norm.name=group. On eight devices with batches of 2,048,
by the paper's linear rule: --config.batch_size=2048
--config.optimizer.learning_rate_multiplier=8, and all steps an eighth.
"""

import ml_collections

from configs import base

# 1,280,000 images at this batch: the whole training set. As 1% is held out for
# validation, 90 epochs are 91 passes.
EPOCH = 5_000


def get_config() -> ml_collections.ConfigDict:
  """The paper's baseline of one machine."""
  config = base.get_config()
  config.label = 'imagenet_resnet50'
  config.batch_size = 256
  config.total_steps = 90 * EPOCH
  config.eval_every = EPOCH
  config.log_every = 100
  config.checkpoint_every = EPOCH // 2
  config.data.name = 'imagenet2012'
  config.data.image_size = 224
  config.data.random_flip = True
  config.model.name = 'resnet50'
  config.model.dtype = 'bfloat16'
  config.optimizer.name = 'nesterov'
  config.optimizer.momentum = 0.9
  config.optimizer.learning_rate = 0.1
  config.optimizer.weight_decay = 1e-4
  # The paper warms up for larger batches only; here it does no harm and allows
  # larger multipliers of the rate.
  config.schedule.warmup_steps = 5 * EPOCH
  config.schedule.name = 'step'
  config.schedule.decay_rate = 0.1
  # Counted from the end of the warm-up.
  config.schedule.boundaries = (25 * EPOCH, 55 * EPOCH, 75 * EPOCH)
  return config
