"""Does Batch Renormalization make up for statistics of four examples?

Section 4.2 of arXiv:1702.03275: a step has 1,600 examples, normalized in
microbatches of 4. Here they run in turn, and at most four devices share one.
The network is BN-Inception; the paper's is Inception-v3.

The other runs of the comparison:

  BatchNorm      --config.norm.r_max=1 --config.norm.d_max=0
  minibatch 32   --config.microbatches=50 --config.norm.schedule_scale=50

With these limits the layer computes what BatchNorm does.

Expected (the paper, Inception-v3): with microbatches of 4, 76.5% after 130,000
steps, and 74.2% after 210,000 with BatchNorm; with minibatches of 32, 78.5% and
78.3%. Not run here yet. The paper evaluates averages of the parameters: columns
loss_ema and accuracy_ema.
Time: not measured yet; 336 million images, four at a time.

  python scripts/train.py --config=configs/imagenet_batch_renorm.py \
      --workdir=DIR
"""

import ml_collections

from configs import base

MICROBATCHES = 400


def get_config() -> ml_collections.ConfigDict:
  """BN-Inception with the optimizer of Inception-v3 (1512.00567, section 8)."""
  config = base.get_config()
  config.label = 'imagenet_batch_renorm'
  # 50 machines with 32 each.
  config.batch_size = 1_600
  config.microbatches = MICROBATCHES
  # The steps that BatchNorm needs; an epoch has 800.
  config.total_steps = 210_000
  config.eval_every = 1_000
  config.checkpoint_every = 500
  config.ema_decay = 0.9999
  config.data.name = 'imagenet2012'
  config.data.image_size = 224
  config.data.random_flip = True
  config.model.name = 'bn_inception'
  config.model.dtype = 'bfloat16'
  config.norm.name = 'batch_renorm'
  # The paper's schedule counts steps; the layer counts its calls.
  config.norm.schedule_scale = float(MICROBATCHES)
  # A ReLU and another layer follow.
  config.norm.use_scale = False
  config.optimizer.name = 'rmsprop'
  config.optimizer.decay = 0.9
  config.optimizer.epsilon = 1.0
  config.optimizer.clip_norm = 2.0
  config.optimizer.learning_rate = 0.045
  # 6% less every two epochs: 131 times in the run.
  config.schedule.name = 'exponential'
  config.schedule.decay_rate = 3e-4
  config.schedule.decay_steps = 210_000
  return config
