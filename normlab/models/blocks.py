"""What the models are made of: conv or dense, then norm, then activation."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

# Makes a norm: called as norm(name='norm'), the layer as
# layer(x, use_running_average=not train). None is no norm.
Norm = Callable[..., nn.Module] | None
# Wraps a layer in a norm of its kernel: kernel_norm(layer, name='kernel_norm'),
# the result called as layer(x, update_stats=train). None is no such norm.
KernelNorm = Callable[..., nn.Module] | None
Activation = Callable[[jax.Array], jax.Array]


class ConvNormAct(nn.Module):
  """Convolution ('SAME'), norm, activation.

  The convolution has a bias only where the norm does not bring one
  (arXiv:1502.03167, section 3.2).

  Attributes:
    features: output channels.
    kernel_size: height and width of the kernel.
    strides: of both axes.
    norm: makes the norm; None is no norm.
    kernel_norm: wraps the convolution; None does not.
    activation: after the norm, unless that replaces it.
  """

  features: int
  kernel_size: int = 3
  strides: int = 1
  norm: Norm = None
  kernel_norm: KernelNorm = None
  activation: Activation = nn.relu

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [batch, height, width, channels] to [..., features]."""
    kernel, strides = (self.kernel_size,) * 2, (self.strides,) * 2
    conv = nn.Conv(
      self.features,
      kernel,
      strides,
      use_bias=needs_bias(self.norm),
      kernel_init=he_normal,
      name='conv',
    )
    x = apply_layer(self.kernel_norm, conv, x, train=train)
    return norm_act(self.norm, self.activation, x, train=train)


class DenseNormAct(nn.Module):
  """Dense layer, norm, activation; the bias as in `ConvNormAct`.

  Attributes:
    features: output units.
    norm: makes the norm; None is no norm.
    kernel_norm: wraps the dense layer; None does not.
    activation: after the norm, unless that replaces it.
  """

  features: int
  norm: Norm = None
  kernel_norm: KernelNorm = None
  activation: Activation = nn.relu

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [batch, inputs] to [batch, features]."""
    dense = nn.Dense(
      self.features,
      use_bias=needs_bias(self.norm),
      kernel_init=he_normal,
      name='dense',
    )
    x = apply_layer(self.kernel_norm, dense, x, train=train)
    return norm_act(self.norm, self.activation, x, train=train)


# He et al. 2015 (arXiv:1502.01852): keeps the variance through ReLU layers, so
# that the networks without a norm are a fair baseline.
he_normal = nn.initializers.he_normal()


def needs_bias(norm: Norm) -> bool:
  """Whether a layer in front of `norm` should have a bias.

  A factory says so by an attribute `replaces_bias`; one without it
  (`functools.partial(nn.BatchNorm)`, say) is taken to bring its own bias.
  """
  return norm is None or not getattr(norm, 'replaces_bias', True)


def apply_layer(
  kernel_norm: KernelNorm, layer: nn.Module, x: jax.Array, *, train: bool
) -> jax.Array:
  """The layer, with its kernel normalized by a module named 'kernel_norm'."""
  if kernel_norm is None:
    return layer(x)
  return kernel_norm(layer, name='kernel_norm')(x, update_stats=train)


def norm_act(
  norm: Norm, activation: Activation, x: jax.Array, *, train: bool
) -> jax.Array:
  """The norm, named 'norm' in the calling module, then the activation.

  A factory with an attribute `replaces_activation` that is true makes layers
  that are both.
  """
  if norm is not None:
    x = norm(name='norm')(x, use_running_average=not train)
  return x if getattr(norm, 'replaces_activation', False) else activation(x)


def max_pool(x: jax.Array) -> jax.Array:
  """3x3 max pooling with stride 2, 'SAME': [b, h, w, c] -> [b, h/2, w/2, c].

  One axis after the other, as a maximum of three strided slices: the gradient
  is then selections, where that of `nn.max_pool` is XLA's select-and-scatter,
  which took a tenth of a training step of the small Inception on a CPU.
  """
  for axis in (1, 2):
    x = _max_pool_axis(x, axis)
  return x


def _max_pool_axis(x: jax.Array, axis: int) -> jax.Array:
  size = x.shape[axis]
  out = -(-size // 2)
  total = max(2 * (out - 1) + 3 - size, 0)
  padding: list[Any] = [(0, 0, 0)] * x.ndim
  padding[axis] = (total // 2, total - total // 2, 0)
  x = lax.pad(x, jnp.asarray(-jnp.inf, x.dtype), padding)
  windows = (
    lax.slice_in_dim(x, k, k + 2 * (out - 1) + 1, stride=2, axis=axis)
    for k in range(3)
  )
  first, second, third = windows
  return jnp.maximum(jnp.maximum(first, second), third)


def classifier(
  x: jax.Array, num_classes: int, dropout: float, *, train: bool
) -> jax.Array:
  """Dropout and the last dense layer: [batch, features] -> logits."""
  x = nn.Dropout(dropout, deterministic=not train, name='dropout')(x)
  return nn.Dense(num_classes, name='logits')(x)
