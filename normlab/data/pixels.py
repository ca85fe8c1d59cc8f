"""Examples, and what is done to their pixels: augmented, standardized.

Augmentation is a pure function of a key.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Examples(NamedTuple):
  """Some examples: a batch, or a whole split.

  Attributes:
    images: uint8 [examples, height, width, channels], of a regression float32.
    labels: int32 [examples], of a regression float32 [examples, outputs].
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
    """uint8 images to float32, with mean 0 and deviation 1 in training.

    Float ones are what they are: their statistics are 0 and 1.
    """
    whole = 1 if jnp.issubdtype(images.dtype, jnp.floating) else 255
    return (images.astype(jnp.float32) / whole - self.mean) / self.std


def pixel_statistics(images: np.ndarray) -> Standardizer:
  """Mean and standard deviation of each channel, of pixels in [0, 1].

  From counts of the 256 values: exact, and without a copy of the images in
  floating point. A channel without contrast has deviation one, so that it stays
  zero rather than becoming NaN. Float images have mean 0 and deviation 1: how a
  regression's features are scaled is what such a data set asks.

  Args:
    images: uint8 [examples, height, width, channels], or float32.
  """
  if np.issubdtype(images.dtype, np.floating):
    shape = images.shape[-1:]
    return Standardizer(np.zeros(shape, np.float32), np.ones(shape, np.float32))
  values = np.arange(256) / 255
  mean, std = [], []
  for channel in np.moveaxis(images, -1, 0):
    share = np.bincount(channel.ravel(), minlength=256) / channel.size
    mean.append(share @ values)
    std.append(np.sqrt(share @ (values - mean[-1]) ** 2) or 1)
  return Standardizer(np.array(mean, np.float32), np.array(std, np.float32))


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """Changes training images at random; the default changes nothing.

  Attributes:
    random_crop: pixels of black added on each side before a crop of the
      original size at a random place; 0 is off.
    random_flip: mirrors each image left to right, with probability one half.
    own: own code, called behind these as own(key, images); it returns images of
      the same shape and type. None is none.
  """

  random_crop: int = 0
  random_flip: bool = False
  own: Callable[[jax.Array, jax.Array], jax.Array] | None = None

  def __call__(self, key: jax.Array, images: jax.Array) -> jax.Array:
    """Augments [batch, height, width, channels], each image on its own."""
    crop_key, flip_key = jax.random.split(key)
    if self.random_crop:
      images = random_crop(crop_key, images, self.random_crop)
    if self.random_flip:
      images = random_flip(flip_key, images)
    if self.own is not None:
      images = self.own(jax.random.fold_in(key, 2), images)
    return images


def random_crop(key: jax.Array, images: jax.Array, padding: int) -> jax.Array:
  """Shifts each image by up to `padding` pixels; what enters is zero."""
  around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
  padded = jnp.pad(images, around)
  corners = jax.random.randint(key, (len(images), 2), 0, 2 * padding + 1)

  def crop(image: jax.Array, corner: jax.Array) -> jax.Array:
    start = (corner[0], corner[1], 0)
    return jax.lax.dynamic_slice(image, start, images.shape[1:])

  return jax.vmap(crop)(padded, corners)


def random_flip(key: jax.Array, images: jax.Array) -> jax.Array:
  """Mirrors each image left to right with probability one half."""
  flips = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
  return jnp.where(flips, images[:, :, ::-1], images)
