"""Residual networks (He et al. 2016, arXiv:1512.03385)."""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import jax
from flax import linen as nn

from normlab.models import blocks, networks
from normlab.models.ops import pools

# Channels, kernel size and strides of each convolution.
Layers = Sequence[tuple[int, int, int]]

STEM = 64


class ResidualBlock(nn.Module):
  """y = activation(branch(x) + x), x projected where the shapes differ.

  Attributes:
    layers: of the branch.
    conv: makes a convolution with its norm and activation, called as
      conv(channels, kernel_size, strides, name='layer1').
    linear: as `conv`, without an activation: for the last convolution of the
      branch, and for the projection, 1x1.
    activation: after the sum.
  """

  layers: Layers
  conv: Callable[..., nn.Module]
  linear: Callable[..., nn.Module]
  activation: blocks.Activation

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [batch, height, width, channels] to channels of the last layer."""
    y, total_strides = x, 1
    for i, (channels, size, strides) in enumerate(self.layers, start=1):
      make = self.conv if i < len(self.layers) else self.linear
      y = make(channels, size, strides, name=f'layer{i}')(y, train=train)
      total_strides *= strides
    if x.shape != y.shape:
      project = self.linear(channels, 1, total_strides, name='projection')
      x = project(x, train=train)
    return self.activation(x + y)


class ResNet(networks.ConvNet):
  """Stages of residual blocks, as trained today.

  Padding is the same on all sides, not 'SAME', so that the weights of PyTorch's
  networks fit.

  The last norm of a branch and that of a projection have no activation behind:
  a norm that is the activation too does not stand there (`blocks.linear_norm`),
  which leaves the branch's last layer without a norm, as in the networks of the
  papers with such norms. For one everywhere take a norm without its activation,
  such as filter_response with use_tlu=False. All scales start at one: the zeros
  of arXiv:1706.02677 in the last norm of a branch would be a field of some
  norms only.

  The fields are those of `ConvNet`, and:

  Attributes:
    small_images: a 3x3 stem with stride 1 and no max pool, for images of about
      32x32; False is the 7x7 stem with stride 2, for about 224x224.
  """

  small_images: bool = False

  # Blocks of each stage, and the branch of a block.
  depths: ClassVar[Sequence[int]]
  branch: ClassVar[Callable[[int, int], Layers]]

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps images [batch, height, width, channels] to logits."""
    conv = self.conv_factory(symmetric=True)
    linear = self.conv_factory(
      symmetric=True,
      norm=blocks.linear_norm(self.norm),
      activation=lambda x: x,
    )
    size, strides = (3, 1) if self.small_images else (7, 2)
    x = conv(self.channels(STEM), size, strides, name='stem')(x, train=train)
    if not self.small_images:
      x = pools.max_pool(x, symmetric=True)
    for name, layers in self.residual_blocks():
      block = ResidualBlock(layers, conv, linear, self.activation, name=name)
      x = block(x, train=train)
    x = blocks.pooled(x)
    return blocks.classifier(x, self.num_classes, self.dropout, train=train)

  def residual_blocks(self) -> Iterator[tuple[str, Layers]]:
    """The name and layers of each; stages after the first halve the image."""
    for stage, depth in enumerate(self.depths, start=1):
      for block in range(1, depth + 1):
        strides = 2 if stage > 1 and block == 1 else 1
        layers = [
          (self.channels(channels), size, strides)
          for channels, size, strides in self.branch(
            STEM * 2 ** (stage - 1), strides
          )
        ]
        yield f'stage{stage}_block{block}', layers


def basic(channels: int, strides: int) -> Layers:
  """Two 3x3 convolutions."""
  return (channels, 3, strides), (channels, 3, 1)


def bottleneck(channels: int, strides: int) -> Layers:
  """A 3x3 convolution between two 1x1, the last with four times the channels.

  The 3x3 one has the strides, not the first as in the paper: the accuracies
  that are quoted for ResNet-50 are of this network (Goyal et al. 2017,
  arXiv:1706.02677, section 5.1).
  """
  return (channels, 1, 1), (channels, 3, strides), (4 * channels, 1, 1)


class ResNet18(ResNet):
  """18 layers; 11,689,512 parameters with BatchNorm and 1000 classes."""

  depths = (2, 2, 2, 2)
  branch = staticmethod(basic)


class ResNet50(ResNet):
  """50 layers; 25,557,032 parameters with BatchNorm and 1000 classes."""

  depths = (3, 4, 6, 3)
  branch = staticmethod(bottleneck)
