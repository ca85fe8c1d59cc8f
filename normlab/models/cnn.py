"""A plain convolutional network."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from normlab.models import blocks


class CNN(nn.Module):
  """3x3 convolutions, each after the first with stride 2; mean pool; dense.

  Attributes:
    num_classes: length of the logits.
    widths: channels of each convolution.
    norm: makes the norms; None is no norm.
    kernel_norm: wraps the layers in front of the norms; None does not.
    activation: after each norm, unless that replaces it.
    dropout: share of the pooled features dropped in training.
    dtype: of all that is computed up to the logits, which are float32, as are
      parameters and statistics.
  """

  num_classes: int
  widths: Sequence[int] = (32, 64, 128)
  norm: blocks.Norm = None
  kernel_norm: blocks.KernelNorm = None
  activation: blocks.Activation = nn.relu
  dropout: float = 0.0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps images [batch, height, width, channels] to logits."""
    for i, width in enumerate(self.widths, start=1):
      x = blocks.ConvNormAct(
        width,
        strides=1 if i == 1 else 2,
        norm=self.norm,
        kernel_norm=self.kernel_norm,
        activation=self.activation,
        dtype=self.dtype,
        name=f'layer{i}',
      )(x, train=train)
    x = blocks.pooled(x)
    return blocks.classifier(x, self.num_classes, self.dropout, train=train)
