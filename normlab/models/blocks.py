"""Blocks of the models: conv or dense, then norm, then activation.

Own networks can use them too: `ConvNormAct` and `DenseNormAct` whole, or
`norm_act`, `needs_bias`, `linear_norm` and `classifier` beside own layers.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from normlab.models.ops import convolution
from normlab.models.ops.dropout import Dropout

# Makes a norm: called as norm(name='norm'), the layer as
# layer(x, use_running_average=not train). None is no norm.
Norm = Callable[..., nn.Module] | None
# Wraps a layer in a norm of its kernel: kernel_norm(layer, name='kernel_norm'),
# the result called as layer(x, update_stats=train). None is no such norm.
KernelNorm = Callable[..., nn.Module] | None
Activation = Callable[[jax.Array], jax.Array]
# Draws a kernel: initializer(key, shape, dtype).
Initializer = nn.initializers.Initializer

# He et al. 2015 (arXiv:1502.01852): keeps the variance through ReLU layers, so
# that the networks without a norm are a fair baseline.
he_normal = nn.initializers.he_normal()


class ConvNormAct(nn.Module):
  """Convolution, norm, activation.

  The convolution has a bias only where the norm does not bring one
  (arXiv:1502.03167, section 3.2).

  Attributes:
    features: output channels.
    kernel_size: height and width of the kernel.
    strides: of both axes.
    norm: makes the norm; None is no norm.
    kernel_norm: wraps the convolution; None does not.
    activation: after the norm, unless that replaces it.
    symmetric: pads as many rows in front as behind, as PyTorch's networks do;
      False is 'SAME', which with stride 2 and an even size pads less in front.
    dtype: of the computation and the result; parameters are float32.
    kernel_init: draws the kernel.
  """

  features: int
  kernel_size: int = 3
  strides: int = 1
  norm: Norm = None
  kernel_norm: KernelNorm = None
  activation: Activation = nn.relu
  symmetric: bool = False
  dtype: Any = jnp.float32
  kernel_init: Initializer = he_normal

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [batch, height, width, channels] to [..., features]."""
    kernel, strides = (self.kernel_size,) * 2, (self.strides,) * 2
    conv = nn.Conv(
      self.features,
      kernel,
      strides,
      padding=self.kernel_size // 2 if self.symmetric else 'SAME',
      use_bias=needs_bias(self.norm),
      dtype=self.dtype,
      kernel_init=self.kernel_init,
      conv_general_dilated=convolution.convolve,
      name='conv',
    )
    x = apply_layer(self.kernel_norm, conv, x, train=train)
    return norm_act(self.norm, self.activation, x, train=train)


class DenseNormAct(nn.Module):
  """Dense layer, norm, activation; bias and fields as in `ConvNormAct`."""

  features: int
  norm: Norm = None
  kernel_norm: KernelNorm = None
  activation: Activation = nn.relu
  dtype: Any = jnp.float32
  kernel_init: Initializer = he_normal

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [batch, inputs] to [batch, features]."""
    dense = nn.Dense(
      self.features,
      use_bias=needs_bias(self.norm),
      dtype=self.dtype,
      kernel_init=self.kernel_init,
      name='dense',
    )
    x = apply_layer(self.kernel_norm, dense, x, train=train)
    return norm_act(self.norm, self.activation, x, train=train)


def needs_bias(norm: Norm) -> bool:
  """Whether a layer in front of `norm` should have a bias.

  A factory says so by an attribute `replaces_bias`; one without it
  (`functools.partial(nn.BatchNorm)`, say) is taken to bring its own bias.
  """
  return norm is None or not getattr(norm, 'replaces_bias', True)


def apply_layer(
  kernel_norm: KernelNorm,
  layer: nn.Module,
  x: jax.Array,
  *,
  train: bool,
  name: str = 'kernel_norm',
) -> jax.Array:
  """The layer, with its kernel normalized by a module of that name."""
  if kernel_norm is None:
    return layer(x)
  return kernel_norm(layer, name=name)(x, update_stats=train)


def norm_act(
  norm: Norm,
  activation: Activation,
  x: jax.Array,
  *,
  train: bool,
  name: str = 'norm',
) -> jax.Array:
  """The norm, then the activation: as one, for networks of one's own too.

  A factory with an attribute `replaces_activation` that is true makes layers
  that are both.

  Args:
    name: of the norm in the calling module, a `compact` method.
  """
  if norm is not None:
    # With float32 parameters a norm of bfloat16 returns float32.
    dtype = x.dtype
    x = norm(name=name)(x, use_running_average=not train).astype(dtype)
  return x if replaces_activation(norm) else activation(x)


def replaces_activation(norm: Norm) -> bool:
  """Whether the layers of a factory are norm and activation in one."""
  return getattr(norm, 'replaces_activation', False)


def linear_norm(norm: Norm) -> Norm:
  """The norm where no activation is behind, or None.

  A norm that includes the activation belongs where there is one. Elsewhere
  EvoNorm has a scale and a bias (arXiv:2004.02967); a layer with its own kernel
  and bias needs neither.
  """
  return None if replaces_activation(norm) else norm


def pooled(x: jax.Array) -> jax.Array:
  """The mean over space, in float32: [b, h, w, c] -> [b, c]."""
  return x.mean((1, 2), dtype=jnp.float32)


def classifier(
  x: jax.Array, num_classes: int, dropout: float | jax.Array, *, train: bool
) -> jax.Array:
  """Dropout and the last dense layer: [batch, features] -> logits.

  In float32: in bfloat16 logits near 8 would be rounded to 1/32, and the layer
  is a small part of any of these networks.
  """
  x = Dropout(dropout, name='dropout')(x, train=train)
  return nn.Dense(num_classes, dtype=jnp.float32, name='logits')(x)
