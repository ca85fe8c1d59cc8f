"""Batches of a split, shuffled or in order, and what standardizes pixels."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Examples(NamedTuple):
  """Some examples: a batch, or a whole split.

  Attributes:
    images: uint8 [examples, height, width, channels].
    labels: int32 [examples].
  """

  images: jax.Array | np.ndarray
  labels: jax.Array | np.ndarray

  def take(self, rows: jax.Array) -> 'Examples':
    """The examples in `rows`, int32 [n]."""
    return Examples(self.images[rows], self.labels[rows])


class Standardizer(NamedTuple):
  """Mean and standard deviation of the training pixels, in [0, 1].

  Both are float32 [channels].
  """

  mean: jax.Array | np.ndarray
  std: jax.Array | np.ndarray

  def standardize(self, images: jax.Array) -> jax.Array:
    """uint8 images to float32, with mean 0 and deviation 1 in training."""
    return (images.astype(jnp.float32) / 255 - self.mean) / self.std


def pixel_statistics(images: np.ndarray) -> Standardizer:
  """Mean and standard deviation of each channel, of pixels in [0, 1].

  From counts of the 256 values: exact, and without a copy of the images in
  floating point. A channel without contrast has deviation one, so that it stays
  zero rather than becoming NaN.

  Args:
    images: uint8 [examples, height, width, channels].
  """
  values = np.arange(256) / 255
  mean, std = [], []
  for channel in np.moveaxis(images, -1, 0):
    share = np.bincount(channel.ravel(), minlength=256) / channel.size
    mean.append(share @ values)
    std.append(np.sqrt(share @ (values - mean[-1]) ** 2) or 1)
  return Standardizer(np.array(mean, np.float32), np.array(std, np.float32))


@functools.partial(jax.jit, static_argnames='num_examples')
def epoch_order(
  key: jax.Array, epoch: jax.Array, num_examples: int
) -> jax.Array:
  """The order of the examples in one epoch (from 0): a permutation, int32.

  Returns:
    [num_examples]; for keys [members] of several runs [members, num_examples].
  """

  def order(key: jax.Array) -> jax.Array:
    return jax.random.permutation(jax.random.fold_in(key, epoch), num_examples)

  return jax.vmap(order)(key) if key.ndim else order(key)


class Shuffled:
  """The examples of each training step: without replacement in an epoch.

  A pure function of the key and the step, so that there is nothing to store or
  restore. The orders of the newest epochs are kept to avoid sorting at every
  step. An epoch has `num_examples // batch_size` steps; the remaining examples
  are left out, others in each epoch.
  """

  def __init__(self, key: jax.Array, num_examples: int, batch_size: int):
    """Shuffles `num_examples` examples into batches of `batch_size`.

    Keys [members] of several runs stack their orders.
    """
    self.steps_per_epoch = num_examples // batch_size

    @functools.lru_cache(maxsize=2)
    def order(epoch: int) -> jax.Array:
      return epoch_order(key, epoch, num_examples)[..., None, :]

    self._order = order

  def orders(self, first: int, count: int) -> jax.Array:
    """The orders of the epochs that `count` steps from `first` (0) fall in.

    Returns:
      int32 [epochs, examples], of several runs [members, epochs, examples]: a
      number of epochs that depends on `count` alone, so that calls of the same
      length compile once.
    """
    epoch = first // self.steps_per_epoch
    epochs = 1 + -(-(count - 1) // self.steps_per_epoch)
    if epochs == 1:
      return self._order(epoch)
    parts = [self._order(epoch + i) for i in range(epochs)]
    return jnp.concatenate(parts, axis=-2)


def rows_of_step(
  orders: jax.Array, first: jax.Array, step: jax.Array, batch_size: int
) -> jax.Array:
  """The rows of one step, from the orders of its call: int32 [batch_size].

  `orders` are from `Shuffled.orders`, `first` is the first step of the call.
  """
  steps_per_epoch = orders.shape[1] // batch_size
  epoch = step // steps_per_epoch - first // steps_per_epoch
  start = step % steps_per_epoch * batch_size
  return jax.lax.dynamic_slice(orders, (epoch, start), (1, batch_size))[0]


def ordered_rows(
  num_examples: int, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Covers every example exactly once, in batches of one shape.

  Yields:
    rows: int32 [batch_size]; the last batch is filled up with the first rows,
      so that statistics of a batch are those of real examples.
    valid: bool [batch_size]; False for the filling.
  """
  for start in range(0, num_examples, batch_size):
    rows = np.arange(start, start + batch_size, dtype=np.int32)
    yield rows % num_examples, rows < num_examples
