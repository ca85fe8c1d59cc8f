"""The models and the training step as one writes them without this library."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from benchmarks.timing import Stepper
from normlab.models import inception


class PlainCNN(nn.Module):
  """`models.CNN` with `nn.BatchNorm` written into it."""

  widths: tuple[int, ...]

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Maps images to 10 logits."""
    for i, width in enumerate(self.widths):
      x = nn.Conv(width, (3, 3), 1 if i == 0 else 2, use_bias=False)(x)
      x = nn.relu(nn.BatchNorm(not train, momentum=0.9)(x))
    return nn.Dense(10)(x.mean((1, 2)))


class PlainInception(nn.Module):
  """`models.Inception` with `nn.BatchNorm` and `nn.max_pool` built in."""

  width: float

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Maps images to 10 logits."""

    def conv(x: jax.Array, channels: int, size: int, strides: int = 1):
      features = max(1, round(channels * self.width))
      x = nn.Conv(features, (size, size), strides, use_bias=False)(x)
      return nn.relu(nn.BatchNorm(not train, momentum=0.9)(x))

    x = conv(x, inception.STEM, 3)
    for stage in inception.STAGES:
      for channels in stage:
        if isinstance(channels, int):
          pooled = nn.max_pool(x, (3, 3), (2, 2), 'SAME')
          branches = [conv(x, channels, 3, 2), pooled]
        else:
          branches = [conv(x, channels[0], 1), conv(x, channels[1], 3)]
        x = jnp.concatenate(branches, axis=-1)
    return nn.Dense(10)(x.mean((1, 2)))


class PlainResNet18(nn.Module):
  """`models.ResNet18` for small images, with `nn.BatchNorm` written into it."""

  small_images: bool

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Maps images to 10 logits."""

    def conv(x: jax.Array, channels: int, size: int, strides: int = 1):
      padding = size // 2
      x = nn.Conv(channels, (size, size), strides, padding, use_bias=False)(x)
      return nn.BatchNorm(not train, momentum=0.9)(x)

    x = nn.relu(conv(x, 64, 3))
    for stage in range(4):
      for block in range(2):
        channels = 64 * 2**stage
        strides = 2 if stage > 0 and block == 0 else 1
        y = conv(nn.relu(conv(x, channels, 3, strides)), channels, 3)
        if x.shape != y.shape:
          x = conv(x, channels, 1, strides)
        x = nn.relu(x + y)
    return nn.Dense(10)(x.mean((1, 2)))


NETWORKS: dict[str, Callable[..., nn.Module]] = {
  'cnn': PlainCNN,
  'inception': PlainInception,
  'resnet18': PlainResNet18,
}


def stepper(
  model: nn.Module, images: np.ndarray, labels: np.ndarray, batch_size: int
) -> Stepper:
  """Makes steps of SGD with momentum, one per call, on random batches.

  Args:
    model: called as model(x, train).
    images: float32 [examples, height, width, channels], standardized.
    labels: int32 [examples].
  """
  optimizer = optax.sgd(0.01, momentum=0.9)
  init = jax.jit(model.init, static_argnums=2)
  variables = init(jax.random.key(0), images[:1], False)
  opt_state = optimizer.init(variables['params'])
  random = np.random.default_rng(0)

  @functools.partial(jax.jit, donate_argnums=(0, 1))
  def step(variables, opt_state, x, y):
    def loss(params):
      logits, state = model.apply(
        {**variables, 'params': params}, x, True, mutable=['batch_stats']
      )
      entropy = optax.softmax_cross_entropy_with_integer_labels(logits, y)
      return entropy.mean(), state

    value_and_grad = jax.value_and_grad(loss, has_aux=True)
    (value, state), gradient = value_and_grad(variables['params'])
    updates, opt_state = optimizer.update(gradient, opt_state)
    params = optax.apply_updates(variables['params'], updates)
    return {'params': params, **state}, opt_state, value

  def call() -> jax.Array:
    nonlocal variables, opt_state
    rows = random.integers(0, len(labels), batch_size)
    variables, opt_state, value = step(
      variables, opt_state, images[rows], labels[rows]
    )
    return value

  return Stepper(call)
