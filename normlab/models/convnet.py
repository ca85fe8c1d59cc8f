"""The base class of the convolutional networks that have a width."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from normlab.models import blocks


class ConvNet(nn.Module):
  """The fields of such a network, and its convolutions.

  Attributes:
    num_classes: length of the logits.
    width: factor on all channel numbers (at least one channel remains).
    norm: makes the norms, between every convolution and its activation; None
      is no norm.
    kernel_norm: wraps the convolutions in norms of their kernels; None does
      not.
    activation: after each norm, unless that replaces it.
    dropout: share of the pooled features dropped in training.
    dtype: of all that is computed up to the logits, which are float32, as are
      parameters and statistics.
  """

  num_classes: int
  width: float = 1.0
  norm: blocks.Norm = None
  kernel_norm: blocks.KernelNorm = None
  activation: blocks.Activation = nn.relu
  dropout: float = 0.0
  dtype: Any = jnp.float32

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
    """Makes such convolutions, also in modules inside this one.

    Args:
      **fields: of `blocks.ConvNormAct`, to replace those of the network.
    """
    shared = {
      'norm': self.norm,
      'kernel_norm': self.kernel_norm,
      'activation': self.activation,
      'dtype': self.dtype,
    }
    return functools.partial(blocks.ConvNormAct, **(shared | fields))
