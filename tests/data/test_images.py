import io
import math

import numpy as np
import pytest
from PIL import Image

from normlab.data import images


def generator(seed=0):
  return np.random.default_rng(seed)


def encoded(image, file_format='PNG', **options):
  file = io.BytesIO()
  image.save(file, file_format, **options)
  return file.getvalue()


def ramp(width, height):
  """Red is the column, green the row."""
  y, x = np.mgrid[:height, :width]
  return np.stack([x, y, 0 * x], -1).astype(np.uint8)


def smooth(width, height):
  coarse = generator().integers(0, 256, (6, 8, 3), np.uint8)
  return Image.fromarray(coarse).resize((width, height), Image.BICUBIC)


def boxes(width, height, count=400, **options):
  numbers = generator()
  return np.array(
    [
      images.random_box(width, height, generator=numbers, **options)
      for _ in range(count)
    ]
  )


@pytest.mark.parametrize('shape', [(500, 375), (40, 300), (3, 2), (1, 1)])
def test_random_boxes_lie_in_the_image(shape):
  left, top, right, bottom = boxes(*shape).T
  assert (left >= 0).all() and (top >= 0).all()
  assert (left < right).all() and (top < bottom).all()
  assert (right <= shape[0]).all() and (bottom <= shape[1]).all()


def test_random_boxes_have_the_area_and_aspect_of_the_paper():
  left, top, right, bottom = boxes(1000, 1000).T
  width, height = right - left, bottom - top
  area, aspect = width * height / 1e6, np.log(width / height)
  assert 0.079 < area.min() < 0.12 and 0.8 < area.max() <= 1
  assert np.abs(aspect).max() < math.log(4 / 3) + 0.01
  # Uniform in the logarithm, but for draws that do not fit.
  assert abs(aspect.mean()) < 0.03
  assert abs(area.mean() - 0.51) < 0.05


@pytest.mark.parametrize(
  'shape, expected',
  [((300, 30), (130, 0, 170, 30)), ((30, 300), (0, 130, 30, 170))],
)
def test_box_of_a_narrow_image_is_in_the_middle(shape, expected):
  assert (boxes(*shape, count=5, min_area=1) == expected).all()


def test_crop_without_a_change_of_size_is_slicing():
  pixels = generator().integers(0, 256, (20, 30, 3), np.uint8)
  image = Image.open(io.BytesIO(encoded(Image.fromarray(pixels))))
  crop = images.resized(image, (5, 3, 17, 13), (12, 10))
  np.testing.assert_array_equal(crop, pixels[3:13, 5:17])


@pytest.mark.parametrize('size', [(8, 6), (24, 24), (80, 60)])
def test_crop_of_a_ramp_is_a_ramp(size):
  box = (10, 20, 50, 50)
  data = encoded(Image.fromarray(ramp(100, 80)))
  crop = images.resized(Image.open(io.BytesIO(data)), box, size)
  assert crop.shape == (size[1], size[0], 3)
  # Centres of the new pixels, in old ones; at the edges the filter is cut off.
  x = 10 + (np.arange(size[0]) + 0.5) * 40 / size[0] - 0.5
  y = 20 + (np.arange(size[1]) + 0.5) * 30 / size[1] - 0.5
  inner = np.s_[2:-2, 2:-2]
  expected = np.broadcast_to(x, size[::-1])[inner]
  np.testing.assert_allclose(crop[..., 0][inner], expected, atol=0.51)
  expected = np.broadcast_to(y[:, None], size[::-1])[inner]
  np.testing.assert_allclose(crop[..., 1][inner], expected, atol=0.51)


def test_random_crop_is_a_part_of_the_image():
  data = encoded(Image.fromarray(ramp(100, 80)))
  for seed in range(20):
    box = images.random_box(100, 80, generator=generator(seed))
    crop = images.random_crop(data, 16, generator=generator(seed))
    assert crop.shape == (16, 16, 3) and crop.dtype == np.uint8
    assert abs(crop[..., 0].mean() - (box[0] + box[2] - 1) / 2) < 1
    assert abs(crop[..., 1].mean() - (box[1] + box[3] - 1) / 2) < 1


def test_random_crop_of_everything_is_the_resized_image():
  image = smooth(40, 40)
  crop = images.random_crop(
    encoded(image), 24, generator=generator(), min_area=1
  )
  expected = image.resize((24, 24), Image.BILINEAR)
  np.testing.assert_array_equal(crop, expected)


def test_centre_crop_of_the_resized_size_is_slicing():
  pixels = generator().integers(0, 256, (32, 41, 3), np.uint8)
  crop = images.centre_crop(encoded(Image.fromarray(pixels)), 28)
  np.testing.assert_array_equal(crop, pixels[2:30, 6:34])


@pytest.mark.parametrize('shape', [(100, 75), (50, 90), (24, 24), (9, 300)])
def test_centre_crop_is_resizing_then_cropping(shape):
  image = smooth(*shape)
  scale = 32 / min(shape)
  whole = image.resize([round(scale * side) for side in shape], Image.BILINEAR)
  left, top = ((side - 28) // 2 for side in whole.size)
  expected = np.asarray(whole, int)[top : top + 28, left : left + 28]
  crop = images.centre_crop(encoded(image), 28)
  inner = np.s_[2:-2, 2:-2]
  # But for the long side's rounding to whole pixels.
  assert np.abs(crop.astype(int) - expected)[inner].max() <= 4


def test_large_jpegs_are_decoded_at_a_fraction():
  image = smooth(640, 480)
  data = encoded(image, 'JPEG', quality=95)
  opened = Image.open(io.BytesIO(data))
  box = (100, 50, 500, 450)
  crop = images.resized(opened, box, (48, 48))
  assert opened.size == (80, 60)
  expected = np.asarray(image.resize((48, 48), Image.BILINEAR, box), int)
  assert np.abs(crop - expected).mean() < 2
  same = Image.open(io.BytesIO(data))
  images.resized(same, (0, 0, 90, 90), (48, 48))
  assert same.size == (640, 480)


@pytest.mark.parametrize('crop', ['random_crop', 'centre_crop'])
@pytest.mark.parametrize(
  'mode, file_format',
  [
    ('L', 'JPEG'),
    ('CMYK', 'JPEG'),
    ('L', 'PNG'),
    ('P', 'PNG'),
    ('RGBA', 'PNG'),
    ('1', 'PNG'),
  ],
)
def test_all_kinds_of_files_become_rgb(mode, file_format, crop):
  image = Image.new('RGB', (30, 40), (255, 0, 0)).convert(mode)
  options = {'generator': generator()} if crop == 'random_crop' else {}
  result = getattr(images, crop)(encoded(image, file_format), 8, **options)
  assert result.shape == (8, 8, 3) and result.dtype == np.uint8
  if mode in ('CMYK', 'P', 'RGBA'):
    assert (result[..., 0] > 250).all() and (result[..., 1:] < 5).all()
  else:
    assert (result == result[..., :1]).all()


@pytest.mark.parametrize('keep', [0, 10, 700])
def test_what_is_no_whole_image_is_an_error(keep):
  data = encoded(smooth(60, 60), 'JPEG')[:keep]
  with pytest.raises(OSError):
    images.centre_crop(data, 28)
