"""Multilayer perceptron."""

from collections.abc import Sequence

import jax
from flax import linen as nn

from normlab.models import blocks, networks
from normlab.models.ops.dropout import Dropout


class MLP(networks.Network):
  """Dense layers with norm, activation and dropout; a linear classifier.

  Attributes:
    widths: units of each hidden layer; () is a linear model.
  """

  widths: Sequence[int] = (100, 100, 100)

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [batch, ...], flattened, to logits [batch, num_classes]."""
    x = x.reshape(x.shape[0], -1)
    for i, width in enumerate(self.widths, start=1):
      x = blocks.DenseNormAct(width, **self.shared(), name=f'layer{i}')(
        x, train=train
      )
      if i < len(self.widths):
        x = Dropout(self.dropout, name=f'dropout{i}')(x, train=train)
    return blocks.classifier(x, self.num_classes, self.dropout, train=train)
