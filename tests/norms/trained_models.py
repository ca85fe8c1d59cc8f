"""Tiny models as if trained: variables with no value at its neutral one."""

import functools

import jax
import jax.numpy as jnp
import norms_reference as reference
from flax import linen as nn

from normlab import models

FIELDS = {
  'mlp': {'widths': (5, 4, 3)},
  'cnn': {'widths': (2, 3, 4)},
  'inception': {'width': 0.03},
}
IMAGES = reference.normal((7, 4, 4, 1), mean=0.5)


def build(name, **fields):
  return models.build(name, num_classes=3, **FIELDS[name], **fields)


randomized = functools.partial(reference.drawn, updates=7)


@functools.partial(jax.jit, static_argnums=0)
def infer(model, variables, x):
  return model.apply(variables, x, train=False)


@functools.partial(jax.jit, static_argnums=0)
def train(model, variables, x):
  """Training mode without dropout; the output alone."""
  model = model.clone(dropout=0.0)
  return model.apply(variables, x, train=True, mutable=['batch_stats'])[0]


class Chain(nn.Module):
  """norms_1(tanh(norms_0(x))) and so on; a norm that occurs twice is shared."""

  norms: tuple[nn.Module, ...]

  @nn.compact
  def __call__(self, x, mask=None, *, train=False):
    """Maps [batch, ...] to the same shape; all norms get the mask."""
    for i, norm in enumerate(self.norms):
      x = norm(jnp.tanh(x) if i else x, not train, mask=mask)
    return x
