"""How much faster does BatchNorm train Inception? On the paper's own scale.

BN-Baseline of figure 2 of arXiv:1502.03167: Inception with BatchNorm in front
of each activation and nothing else changed. The other networks are overrides:

  Inception      --config.norm.name=none
  BN-x5          --config.optimizer.learning_rate_multiplier=5
                 --config.model.dropout=0 --config.optimizer.weight_decay=8e-6
                 --config.schedule.decay_steps=5166667
                 --config.total_steps=5000000
  BN-x30         as BN-x5, with learning_rate_multiplier=30 and 6000000 steps
  BN-x5-Sigmoid  as BN-x5, with --config.model.activation=sigmoid

The paper's Inception also has local response normalization. The paper trains on
many machines at once, with less photometric distortion for the fast networks;
here no network has any.

Expected (the paper): steps to 72.2% accuracy 31.0 million (Inception), 13.3
(BN-Baseline), 2.1 (BN-x5), 2.7 (BN-x30); best accuracy 72.2%, 72.7%, 73.0%,
74.8%; 69.8% for the sigmoid. Not run here yet.
Time: not measured yet; 992 million images, 160 to 192 for the fast ones.

  python scripts/train.py --config=configs/imagenet_bn_inception.py \
      --workdir=DIR
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """BN-Baseline; settings that the paper omits are GoogLeNet's or guesses."""
  config = base.get_config()
  config.label = 'imagenet_bn_inception'
  config.batch_size = 32
  config.total_steps = 31_000_000
  # 1.25 epochs of the images.
  config.eval_every = 50_000
  config.log_every = 1_000
  config.checkpoint_every = 10_000
  config.data.name = 'imagenet2012'
  config.data.image_size = 224
  config.data.random_flip = True
  config.model.name = 'bn_inception'
  config.model.dtype = 'bfloat16'
  # On the pooled features (1502.03167, 4.2.3).
  config.model.dropout = 0.4
  config.optimizer.name = 'momentum'
  config.optimizer.momentum = 0.9
  config.optimizer.learning_rate = 0.0015
  # TF-Slim's Inception; the paper gives none.
  config.optimizer.weight_decay = 4e-5
  # GoogLeNet's: 4% less every 8 epochs, 97 times in 31 million steps.
  config.schedule.name = 'exponential'
  config.schedule.decay_rate = 0.02
  config.schedule.decay_steps = 31_000_000
  return config
