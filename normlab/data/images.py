"""Decodes image files, and crops them as ImageNet's papers do."""

import io
import math

import numpy as np
from PIL import Image

# Height and width of the papers' images, in pixels.
SIZE = 224
# As in the widely used form of the augmentation of arXiv:1409.4842, section 6.
MIN_CROP_AREA = 0.08
ASPECTS = (3 / 4, 4 / 3)
TRIES = 10
# Side of the resized image to that of its centre crop, in evaluation.
RESIZED_TO_CROP = 256 / 224

Box = tuple[int, int, int, int]


def random_crop(
  data: bytes,
  size: int,
  *,
  generator: np.random.Generator,
  min_area: float = MIN_CROP_AREA,
) -> np.ndarray:
  """A random part of an image, resized to a square.

  The data are a JPEG or PNG file; at least the share `min_area` of its area is
  taken.

  Returns:
    uint8 [size, size, 3].

  Raises:
    OSError: data that are no image, or a truncated one.
  """
  image = Image.open(io.BytesIO(data))
  box = random_box(*image.size, generator=generator, min_area=min_area)
  return resized(image, box, (size, size))


def centre_crop(data: bytes, size: int) -> np.ndarray:
  """The middle of an image whose shorter side is resized to 256 / 224 `size`.

  Data, result and errors are those of `random_crop`.
  """
  image = Image.open(io.BytesIO(data))
  scale = round(size * RESIZED_TO_CROP) / min(image.size)
  whole = [round(side * scale) for side in image.size]
  # Whole pixels of the resized image, of which only this part is computed.
  start = [max(0, (side - size) // 2) for side in whole]
  box = [
    edge * side / new
    for edges in (start, [edge + size for edge in start])
    for edge, side, new in zip(edges, image.size, whole, strict=True)
  ]
  return resized(image, tuple(box), (size, size))


def random_box(
  width: int,
  height: int,
  *,
  generator: np.random.Generator,
  min_area: float = MIN_CROP_AREA,
) -> Box:
  """A part of an image, in pixels: (left, top, right, bottom).

  Its share of the area is uniform from `min_area` to 1, the logarithm of its
  width over its height uniform from 3/4 to 4/3, its place uniform
  (arXiv:1409.4842, section 6). Where ten draws do not fit into the image, it is
  the largest part of an allowed aspect in the middle.
  """
  for _ in range(TRIES):
    area = generator.uniform(min_area, 1) * width * height
    aspect = math.exp(generator.uniform(*map(math.log, ASPECTS)))
    w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
    if 0 < w <= width and 0 < h <= height:
      left = int(generator.integers(width - w + 1))
      top = int(generator.integers(height - h + 1))
      return left, top, left + w, top + h
  w = min(width, round(height * ASPECTS[1]))
  h = min(height, round(width / ASPECTS[0]))
  left, top = (width - w) // 2, (height - h) // 2
  return left, top, left + w, top + h


def resized(
  image: Image.Image,
  box: tuple[float, float, float, float],
  size: tuple[int, int],
) -> np.ndarray:
  """A part of an image that is not decoded yet, in RGB.

  Bilinear, with the filter widened where the image shrinks (as Pillow and
  torchvision do; no aliasing). A JPEG that shrinks to a half or less is decoded
  at a half, a quarter or an eighth, which its cosine transform gives for less
  than the whole.

  The box is (left, top, right, bottom) in pixels, the size of the result
  (width, height).
  """
  sides = box[2] - box[0], box[3] - box[1]
  shrink = int(min(sides[0] / size[0], sides[1] / size[1]))
  if shrink >= 2:
    whole = image.width
    least = image.width // shrink, image.height // shrink
    # The first call decides; it does nothing for a PNG.
    if (drafted := image.draft(None, least)) is not None:
      scale = drafted[1][2] / whole
      box = tuple(scale * edge for edge in box)
  if image.mode != 'RGB':  # Grey, palettes, CMYK: ImageNet has them all.
    image = image.convert('RGB')
  # Rounding must not lead out of the image.
  box = (*box[:2], min(box[2], image.width), min(box[3], image.height))
  return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box))
