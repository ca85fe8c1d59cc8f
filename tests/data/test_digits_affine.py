import functools
import zlib

import numpy as np
import pytest

from normlab import errors
from normlab.data.sets import digits, digits_affine, sources
from normlab.data.sets.digits_affine import Recipe

# CRC-32 of images and labels, train to test: other images are another version.
CHECKSUM = 758_639_733
IDENTITY = Recipe(rotation=0, scale=(1, 1), shear=0, shift=0, light=0, noise=0)
MIDDLE = (slice(2, 10), slice(2, 10))


@pytest.fixture(scope='module')
def splits():
  return digits_affine.splits()


@pytest.fixture
def identity_splits(monkeypatch):
  same = functools.partial(digits_affine.distorted, recipe=IDENTITY)
  monkeypatch.setattr(digits_affine, 'distorted', same)
  return digits_affine.splits()


def fingerprints(images):
  return {image.tobytes() for image in images}


def test_images_are_those_of_this_version(splits):
  checksum = 0
  for images, labels in splits.values():
    checksum = zlib.crc32(labels.copy(), zlib.crc32(images, checksum))
  assert (digits_affine.VERSION, checksum) == ('1.0.0', CHECKSUM)


def test_every_call_gives_the_same_images(splits):
  for first, second in zip(
    splits.values(), digits_affine.splits().values(), strict=True
  ):
    assert all(map(np.array_equal, first, second))


def test_sizes_types_and_classes_are_those_described(splits):
  for split, (images, labels) in splits.items():
    size = digits_affine.SIZES[split]
    assert images.shape == (size, 12, 12, 1) and images.dtype == np.uint8
    assert labels.shape == (size,) and labels.dtype == np.int32
    assert np.bincount(labels).min() > 0.05 * size
    assert len(np.bincount(labels)) == digits_affine.NUM_CLASSES
  assert list(splits) == ['train', 'validation', 'test']


def test_no_two_splits_are_made_of_the_same_digit(identity_splits):
  own = digits.splits()
  for split, (images, labels) in identity_splits.items():
    found = fingerprints(images[:, *MIDDLE])
    # 4,000 draws of 360 miss none.
    assert found == fingerprints(own[split][0])
    by_image = {
      (image.tobytes(), label) for image, label in zip(*own[split], strict=True)
    }
    assert {
      (image.tobytes(), label)
      for image, label in zip(images[:, *MIDDLE], labels, strict=True)
    } == by_image


def test_without_distortion_a_digit_is_in_the_middle(identity_splits):
  images = identity_splits['test'][0].copy()
  images[:, *MIDDLE] = 0
  assert not images.any()


def moved(matrix, shift):
  """One digit, moved by a matrix and a shift: float [12, 12]."""
  image = digits.splits()['train'][0][:1, :, :, 0] / 255
  return digits_affine.resampled(
    image, np.float64([matrix]), np.float64([shift])
  )[0]


def test_a_quarter_turn_and_a_shift_are_exact_and_half_a_pixel_is_a_mean():
  still = moved(np.eye(2), (0, 0))
  turned = moved([[0, -1], [1, 0]], (0, 0))
  np.testing.assert_allclose(turned, np.rot90(still), atol=1e-12)
  down = moved(np.eye(2), (1, 0))
  np.testing.assert_allclose(down, np.roll(still, 1, axis=0), atol=1e-12)
  half = moved(np.eye(2), (0, 0.5))
  np.testing.assert_allclose(
    half, (still + np.roll(still, 1, axis=1)) / 2, atol=1e-12
  )
  assert not moved(np.eye(2), (20, 0)).any()


def test_twice_the_scale_fills_the_canvas_from_the_middle_outwards():
  large, still = moved(2 * np.eye(2), (0, 0)), moved(np.eye(2), (0, 0))
  # Half a pixel from the centre is a quarter in the source.
  expected = np.dot([0.75, 0.25], still[5:7, 5:7]) @ [0.75, 0.25]
  assert large[5, 5] == pytest.approx(expected)


@pytest.mark.parametrize(
  ('changes', 'differs'),
  [
    ({'rotation': 30}, True),
    ({'scale': (0.5, 2)}, True),
    ({'shear': 0.2}, True),
    ({'shift': 1.5}, True),
    ({'light': 0.4}, True),
    ({'noise': 0.05}, True),
    ({}, False),
  ],
)
def test_every_part_of_the_recipe_changes_images(changes, differs):
  images, labels = digits.splits()['test']

  def made(recipe):
    generator = np.random.default_rng(0)
    return digits_affine.distorted(images, labels, 20, generator, recipe)

  (before, own), (after, same) = (
    made(IDENTITY),
    made(IDENTITY._replace(**changes)),
  )
  assert np.array_equal(own, same)
  assert np.any(before != after) == differs


def test_light_is_within_its_share_of_white_and_uneven():
  planes = digits_affine.light(np.random.default_rng(0), 1000, 0.4)
  assert planes.shape == (1000, 12, 12) and planes.min() == 0
  # A level, and a slope in the direction of a corner.
  assert 0.4 < planes.max() <= 0.4 * (1 + 2**0.5)
  assert (np.ptp(planes, axis=(1, 2)) > 0.05).mean() > 0.8


def test_another_seed_gives_other_images_of_the_same_kind(splits):
  sources.load.cache_clear()
  again = sources.load('digits_affine/1')
  for split, (images, _) in splits.items():
    assert not fingerprints(images) & fingerprints(again[split].images)
    assert again[split].images.mean() == pytest.approx(images.mean(), rel=0.02)


def test_the_set_is_loaded_by_name_as_described(splits):
  sources.load.cache_clear()
  loaded = sources.load('digits_affine', '/proc/nowhere')
  for name in ('digits_affine', 'digits_affine/1'):
    described = sources.describe(name)
    assert described.sizes == {k: len(v.labels) for k, v in loaded.items()}
    assert described.image_shape == loaded['train'].images.shape[1:]
    assert described.num_classes == loaded['train'].labels.max() + 1
  assert np.array_equal(loaded['test'].images, splits['test'][0])
  assert sources.prepare('digits_affine') == str(digits.file())


@pytest.mark.parametrize(
  'name', ['digits_affine/99', 'digits_affine/', 'digits_affine/x', 'digits/1']
)
def test_an_unknown_seed_is_refused_in_one_line(name):
  for function in (sources.describe, sources.load, sources.prepare):
    with pytest.raises(errors.ConfigError, match=f"'{name}'") as error:
      function(name)
    assert 'digits_affine' in str(error.value) and '\n' not in str(error.value)
