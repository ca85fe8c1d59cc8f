"""The fields that all networks share, and convolutions of a width."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from normlab.models import blocks


class Network(nn.Module):
  """The fields of a network.

  Attributes:
    num_classes: length of the logits.
    norm: makes the norms between each layer and its activation; None is none.
    kernel_norm: wraps these layers in norms of their kernels; None does not.
    activation: after each norm, unless that replaces it.
    dropout: share of the features in front of the logits dropped in training.
    dtype: of all that is computed up to the logits, which are float32, as are
      parameters and statistics.
    kernel_init: draws the kernels of all layers but the logits, whose variance
      is 1 / inputs.
  """

  num_classes: int
  norm: blocks.Norm = None
  kernel_norm: blocks.KernelNorm = None
  activation: blocks.Activation = nn.relu
  dropout: float = 0.0
  dtype: Any = jnp.float32
  kernel_init: blocks.Initializer = blocks.he_normal

  def shared(self) -> dict[str, Any]:
    """The fields that each block takes over."""
    return {
      'norm': self.norm,
      'kernel_norm': self.kernel_norm,
      'activation': self.activation,
      'dtype': self.dtype,
      'kernel_init': self.kernel_init,
    }


class ConvNet(Network):
  """A convolutional network whose channels are scaled together.

  Attributes:
    width: factor on all channel numbers (at least one channel remains).
  """

  width: float = 1.0

  def channels(self, number: int) -> int:
    """A number of channels, at this width."""
    return max(1, round(number * self.width))

  def conv(
    self, channels: int, kernel_size: int, strides: int = 1, *, name: str
  ) -> nn.Module:
    """A convolution with its norm and activation, at this width."""
    make = self.conv_factory()
    return make(self.channels(channels), kernel_size, strides, name=name)

  def conv_factory(self, **fields: Any) -> Callable[..., nn.Module]:
    """Makes such convolutions; `fields` replace those of the network."""
    return functools.partial(blocks.ConvNormAct, **(self.shared() | fields))
