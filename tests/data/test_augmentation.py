import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from normlab.data import Augmentation, pixels

BATCH, HEIGHT, WIDTH, CHANNELS = 48, 4, 5, 2
KEY = jax.random.key(0)


@pytest.fixture(scope='module')
def images():
  """All pixels of an image are distinct, none is zero."""
  pixels = 1 + np.arange(HEIGHT * WIDTH * CHANNELS, dtype=np.uint8)
  image = pixels.reshape(HEIGHT, WIDTH, CHANNELS)
  brightness = 4 * np.arange(BATCH, dtype=np.uint8)
  return jnp.asarray(image + brightness[:, None, None, None])


@functools.partial(jax.jit, static_argnums=0)
def augment(function, key, images):
  return function(key, images)


def shifts(image, padding):
  """All crops of a padded image, by the corner."""
  around = ((padding, padding), (padding, padding), (0, 0))
  padded = np.pad(np.asarray(image), around)
  return {
    (i, j): padded[i : i + HEIGHT, j : j + WIDTH]
    for i in range(2 * padding + 1)
    for j in range(2 * padding + 1)
  }


def corners(before, after, padding):
  """The corner of each crop."""
  found = []
  for image, crop in zip(before, after, strict=True):
    (corner,) = [
      corner
      for corner, expected in shifts(image, padding).items()
      if np.array_equal(crop, expected)
    ]
    found.append(corner)
  return found


def is_flipped(before, after):
  flipped = []
  for image, result in zip(np.asarray(before), np.asarray(after), strict=True):
    mirrored = np.array_equal(result, image[:, ::-1])
    assert mirrored or np.array_equal(result, image)
    flipped.append(mirrored)
  return flipped


def test_off_by_default(images):
  assert Augmentation() == Augmentation(random_crop=0, random_flip=False)
  assert Augmentation()(KEY, images) is images


def test_crop_shifts_and_fills_with_zeros(images):
  cropped = augment(Augmentation(random_crop=1), KEY, images)
  assert cropped.shape == images.shape and cropped.dtype == images.dtype
  found = corners(images, np.asarray(cropped), padding=1)
  # 48 draws of 9 corners: all of them occur, unless the range is wrong.
  assert set(found) == {(i, j) for i in range(3) for j in range(3)}


def test_crop_may_pad_by_the_whole_image(images):
  cropped = augment(Augmentation(random_crop=HEIGHT), KEY, images[:3])
  corners(images[:3], np.asarray(cropped), padding=HEIGHT)


def test_flip_mirrors_left_to_right_or_not_at_all(images):
  flipped = augment(Augmentation(random_flip=True), KEY, images)
  share = np.mean(is_flipped(images, flipped))
  assert 0.25 < share < 0.75


def test_crop_and_flip_together_change_each_image_on_its_own(images):
  both = augment(Augmentation(random_crop=1, random_flip=True), KEY, images)
  crop_key, flip_key = jax.random.split(KEY)
  cropped = pixels.random_crop(crop_key, images, 1)
  expected = pixels.random_flip(flip_key, cropped)
  np.testing.assert_array_equal(both, expected)
  places = corners(images, np.asarray(cropped), padding=1)
  pairs = set(zip(places, is_flipped(cropped, both), strict=True))
  assert len(pairs) > 9


@pytest.mark.parametrize(
  'function',
  [Augmentation(random_crop=1), Augmentation(random_flip=True)],
)
def test_is_a_pure_function_of_the_key(function, images):
  first = augment(function, KEY, images)
  np.testing.assert_array_equal(first, augment(function, KEY, images))
  other = augment(function, jax.random.key(1), images)
  assert not np.array_equal(first, other)


def test_own_augmentation_is_behind_ours_and_changes_none_of_it(images):
  ours = augment(Augmentation(random_crop=1, random_flip=True), KEY, images)
  seen = []

  def own(key, images):
    seen.append(key)
    return 255 - images

  both = Augmentation(random_crop=1, random_flip=True, own=own)
  assert (augment(both, KEY, images) == 255 - ours).all()
  assert len(seen) == 1
