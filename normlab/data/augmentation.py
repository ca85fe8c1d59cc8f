"""Random crops and flips of a batch of images; pure functions of a key."""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """Changes training images at random; the default changes nothing.

  Attributes:
    random_crop: pixels of black added on each side before a crop of the
      original size at a random place; 0 is off.
    random_flip: mirrors each image left to right, with probability one half.
  """

  random_crop: int = 0
  random_flip: bool = False

  def __call__(self, key: jax.Array, images: jax.Array) -> jax.Array:
    """Augments [batch, height, width, channels], each image on its own."""
    crop_key, flip_key = jax.random.split(key)
    if self.random_crop:
      images = random_crop(crop_key, images, self.random_crop)
    if self.random_flip:
      images = random_flip(flip_key, images)
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
