"""A plain convolutional network."""

from collections.abc import Sequence

import jax
from flax import linen as nn

from normlab.models import blocks, networks


class CNN(networks.Network):
  """3x3 convolutions, each after the first with stride 2; mean pool; dense.

  Attributes:
    widths: channels of each convolution.
  """

  widths: Sequence[int] = (32, 64, 128)

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps images [batch, height, width, channels] to logits."""
    for i, width in enumerate(self.widths, start=1):
      strides = 1 if i == 1 else 2
      x = blocks.ConvNormAct(
        width, strides=strides, **self.shared(), name=f'layer{i}'
      )(x, train=train)
    x = blocks.pooled(x)
    return blocks.classifier(x, self.num_classes, self.dropout, train=train)
