"""Multilayer perceptron."""

from collections.abc import Sequence

import jax
from flax import linen as nn

from normlab.models import blocks


class MLP(nn.Module):
  """Dense layers with norm and activation, then a linear classifier.

  Attributes:
    num_classes: length of the logits.
    widths: units of each hidden layer.
    norm: makes the norms; None is no norm.
    activation: after each norm.
    dropout: share of the hidden units dropped in training, after every layer.
  """

  num_classes: int
  widths: Sequence[int] = (100, 100, 100)
  norm: blocks.Norm = None
  activation: blocks.Activation = nn.relu
  dropout: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [batch, ...], flattened, to logits [batch, num_classes]."""
    x = x.reshape(x.shape[0], -1)
    for i, width in enumerate(self.widths, start=1):
      x = blocks.DenseNormAct(
        width, norm=self.norm, activation=self.activation, name=f'layer{i}'
      )(x, train=train)
      if i < len(self.widths):
        drop = nn.Dropout(
          self.dropout, deterministic=not train, name=f'dropout{i}'
        )
        x = drop(x)
    return blocks.classifier(x, self.num_classes, self.dropout, train=train)
