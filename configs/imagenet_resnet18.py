"""ResNet-18 on ImageNet, or in minutes on ten of its classes.

The recipe of `imagenet_resnet50` for a network with a fifth of the work.

Expected: about 70% on the test split, which is ImageNet's validation set
(torchvision's ResNet-18, with nearly this recipe: 69.76%). Not run here yet.
Time: not measured yet; 115 million images, and 0.9 million of Imagenette.

  python scripts/train.py --config=configs/imagenet_resnet18.py --workdir=DIR
  python scripts/train.py --config=configs/imagenet_resnet18.py --workdir=DIR \
      --config.data.name=imagenette --config.total_steps=3500 \
      --config.eval_every=70 --config.checkpoint_every=350 \
      --config.schedule.warmup_steps=175 \
      --config.schedule.boundaries='(1000, 2150, 2900)'
"""

import ml_collections

from configs import imagenet_resnet50


def get_config() -> ml_collections.ConfigDict:
  """`imagenet_resnet50` with another network."""
  config = imagenet_resnet50.get_config()
  config.label = 'imagenet_resnet18'
  config.model.name = 'resnet18'
  return config
