"""Batches by row numbers: shuffled for training, in order for evaluation."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from normlab.data.sources import Split


class DeviceSplit(NamedTuple):
  """A split on the device, with what standardizes it.

  Attributes:
    images: uint8 [examples, height, width, channels].
    labels: int32 [examples].
    mean: float32 [channels], of the training pixels, in [0, 1].
    std: float32 [channels], likewise.
  """

  images: jax.Array
  labels: jax.Array
  mean: jax.Array
  std: jax.Array

  def standardize(self, images: jax.Array) -> jax.Array:
    """uint8 images to float32, with mean 0 and deviation 1 in training."""
    return (images.astype(jnp.float32) / 255 - self.mean) / self.std


def to_device(splits: dict[str, Split]) -> dict[str, DeviceSplit]:
  """Moves the splits to the device; statistics come from 'train' alone."""
  mean, std = pixel_statistics(splits['train'].images)
  return {
    name: DeviceSplit(
      jnp.asarray(split.images), jnp.asarray(split.labels), mean, std
    )
    for name, split in splits.items()
  }


def pixel_statistics(images: np.ndarray) -> tuple[jax.Array, jax.Array]:
  """Mean and standard deviation of each channel, of pixels in [0, 1].

  From counts of the 256 values: exact, and without a copy of the images in
  floating point.

  Args:
    images: uint8 [examples, height, width, channels].

  Returns:
    Two float32 [channels]; a channel without contrast has deviation one, so
    that it stays zero rather than becoming NaN.
  """
  values = np.arange(256) / 255
  mean, std = [], []
  for channel in np.moveaxis(images, -1, 0):
    share = np.bincount(channel.ravel(), minlength=256) / channel.size
    mean.append(share @ values)
    std.append(np.sqrt(share @ (values - mean[-1]) ** 2) or 1)
  return jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)


@functools.partial(jax.jit, static_argnames='num_examples')
def epoch_order(
  key: jax.Array, epoch: jax.Array, num_examples: int
) -> jax.Array:
  """The order of the examples in one epoch: a permutation, int32."""
  key = jax.random.fold_in(key, epoch)
  return jax.random.permutation(key, num_examples)


class ShuffledRows:
  """Which examples a training step sees: without replacement in an epoch.

  A pure function of the key and the step, so that there is nothing to store or
  restore. The order of the current epoch is kept to avoid sorting at every
  step. An epoch has `num_examples // batch_size` steps; the remaining examples
  are left out, others in each epoch.

  Attributes:
    steps_per_epoch: steps until the order changes.
  """

  def __init__(self, key: jax.Array, num_examples: int, batch_size: int):
    """Shuffles `num_examples` examples into batches of `batch_size`."""
    self.steps_per_epoch = num_examples // batch_size
    self._batch_size = batch_size

    @functools.lru_cache(maxsize=2)
    def order(epoch: int) -> jax.Array:
      return epoch_order(key, epoch, num_examples)

    self._order = order

  def __call__(self, step: int) -> jax.Array:
    """Rows of the batch of a step (from 0): int32 [batch_size]."""
    epoch, position = divmod(step, self.steps_per_epoch)
    return _take_rows(self._order(epoch), position, self._batch_size)


@functools.partial(jax.jit, static_argnames='batch_size')
def _take_rows(
  order: jax.Array, position: jax.Array, batch_size: int
) -> jax.Array:
  return jax.lax.dynamic_slice_in_dim(order, position * batch_size, batch_size)


def ordered_rows(
  num_examples: int, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Covers every example exactly once, in batches of one shape.

  Yields:
    rows: int32 [batch_size]; the last batch is filled up with row 0.
    valid: bool [batch_size]; False for the filling.
  """
  for start in range(0, num_examples, batch_size):
    rows = np.arange(start, start + batch_size, dtype=np.int32)
    valid = rows < num_examples
    yield np.where(valid, rows, 0), valid
