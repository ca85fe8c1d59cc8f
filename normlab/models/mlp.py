"""Multilayer perceptron."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from normlab.models import blocks
from normlab.models.ops.dropout import Dropout


class MLP(nn.Module):
  """Dense layers with norm and activation, then a linear classifier.

  Attributes:
    num_classes: length of the logits.
    widths: units of each hidden layer.
    norm: makes the norms; None is no norm.
    kernel_norm: wraps the layers in front of the norms; None does not.
    activation: after each norm, unless that replaces it.
    dropout: share of the hidden units dropped in training, after every layer.
    dtype: of all that is computed up to the logits, which are float32, as are
      parameters and statistics.
  """

  num_classes: int
  widths: Sequence[int] = (100, 100, 100)
  norm: blocks.Norm = None
  kernel_norm: blocks.KernelNorm = None
  activation: blocks.Activation = nn.relu
  dropout: float = 0.0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [batch, ...], flattened, to logits [batch, num_classes]."""
    x = x.reshape(x.shape[0], -1)
    for i, width in enumerate(self.widths, start=1):
      x = blocks.DenseNormAct(
        width,
        norm=self.norm,
        kernel_norm=self.kernel_norm,
        activation=self.activation,
        dtype=self.dtype,
        name=f'layer{i}',
      )(x, train=train)
      if i < len(self.widths):
        x = Dropout(self.dropout, name=f'dropout{i}')(x, train=train)
    return blocks.classifier(x, self.num_classes, self.dropout, train=train)
