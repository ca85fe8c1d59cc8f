"""The embedded digits, distorted: 28,000 images, 12x12, made in a second.

What affNIST is to MNIST, with uneven light and noise: hard enough that networks
differ, and large enough that a difference can be told. The splits are made of
different digits, those of the splits of `digits`. docs/experiments.md says how
the recipe was chosen.
"""

from typing import NamedTuple

import numpy as np

from normlab.data.sets import digits

SIZES = {'train': 20_000, 'validation': 4_000, 'test': 4_000}
IMAGE_SHAPE = (12, 12, 1)
NUM_CLASSES = digits.NUM_CLASSES
# Other images are another version.
VERSION = '1.0.0'
# Further data sets by the same recipe, to see whether a result depends on the
# images that were drawn: 'digits_affine/1'.
SEEDS = range(10)


class Recipe(NamedTuple):
  """The ranges that an image is drawn from, uniformly.

  Attributes:
    rotation: largest, in degrees, either way.
    scale: smallest and largest, log-uniform; 1 is the size of the source.
    shear: largest, either way.
    shift: largest, in pixels along an axis, either way.
    light: largest share of the white that the background takes.
    noise: standard deviation, as a share of white.
  """

  rotation: float = 30.0
  scale: tuple[float, float] = (0.9, 1.4)
  shear: float = 0.2
  shift: float = 1.5
  light: float = 0.37
  noise: float = 0.05


def splits(seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Images and labels of each split.

  Args:
    seed: of all that is drawn; 0 is `digits_affine` itself.

  Returns:
    Split to uint8 [examples, 12, 12, 1] and int32 [examples].
  """
  return {
    split: distorted(
      *sources, SIZES[split], np.random.default_rng([seed, number])
    )
    for number, (split, sources) in enumerate(digits.splits().items())
  }


def distorted(
  images: np.ndarray,
  labels: np.ndarray,
  count: int,
  generator: np.random.Generator,
  recipe: Recipe = Recipe(),  # noqa: B008
) -> tuple[np.ndarray, np.ndarray]:
  """Images drawn with replacement, each distorted in its own way.

  Args:
    images: uint8 [sources, 8, 8, 1].
    labels: int32 [sources].
    count: number of images.
    generator: of all that is drawn.
    recipe: the ranges.
  """
  rows = generator.integers(len(images), size=count)
  x = resampled(
    images[rows, :, :, 0] / 255, *affine_maps(generator, count, recipe)
  )
  background = light(generator, count, recipe.light)
  x = x * (1 - recipe.light) + background
  x += generator.normal(0, recipe.noise, x.shape)
  pixels = np.round(255 * np.clip(x, 0, 1)).astype(np.uint8)
  return pixels[..., np.newaxis], labels[rows]


def affine_maps(
  generator: np.random.Generator, count: int, recipe: Recipe
) -> tuple[np.ndarray, np.ndarray]:
  """Matrices [count, 2, 2] from source to image, and shifts [count, 2]."""
  limits = np.log(recipe.scale)
  scale = np.exp(generator.uniform(*limits, count))
  angle = np.radians(generator.uniform(-1, 1, count) * recipe.rotation)
  shear = generator.uniform(-1, 1, count) * recipe.shear
  shift = generator.uniform(-1, 1, (count, 2)) * recipe.shift
  cos, sin = scale * np.cos(angle), scale * np.sin(angle)
  matrices = np.stack([cos, cos * shear - sin, sin, sin * shear + cos], -1)
  return matrices.reshape(count, 2, 2), shift


def resampled(
  sources: np.ndarray, matrices: np.ndarray, shifts: np.ndarray
) -> np.ndarray:
  """Moves images about their centres, bilinearly; zero outside of them.

  Args:
    sources: [count, 8, 8].
    matrices: [count, 2, 2], from places in the source to places in the image.
    shifts: [count, 2], added behind them.

  Returns:
    [count, 12, 12].
  """
  places = coordinates() - shifts[:, np.newaxis]
  height, width = sources.shape[1:]
  centre = np.array([height - 1, width - 1]) / 2
  places = places @ np.linalg.inv(matrices).mT + centre
  # One zero all round, which also is what lies further out.
  padded = np.pad(sources, ((0, 0), (1, 1), (1, 1)))
  places = np.clip(places + 1, 0, (height + 1, width + 1))
  corners = np.minimum(places.astype(int), (height, width))
  y, x = np.moveaxis(corners, -1, 0)
  dy, dx = np.moveaxis(places - corners, -1, 0)
  rows = np.arange(len(sources))[:, np.newaxis]
  found = (1 - dy) * (
    (1 - dx) * padded[rows, y, x] + dx * padded[rows, y, x + 1]
  ) + dy * ((1 - dx) * padded[rows, y + 1, x] + dx * padded[rows, y + 1, x + 1])
  return found.reshape(-1, *IMAGE_SHAPE[:2])


def light(
  generator: np.random.Generator, count: int, most: float
) -> np.ndarray:
  """Backgrounds [count, 12, 12]: a level and a slope in a direction."""
  level, slope = generator.uniform(0, most, (2, count, 1))
  angle = generator.uniform(0, 2 * np.pi, (count, 1))
  y, x = np.moveaxis(coordinates() / coordinates().max(), -1, 0)
  plane = level + slope * (np.cos(angle) * y + np.sin(angle) * x)
  return np.maximum(0, plane).reshape(-1, *IMAGE_SHAPE[:2])


def coordinates() -> np.ndarray:
  """The places of the pixels from the centre: [144, 2], rows and columns."""
  places = np.indices(IMAGE_SHAPE[:2]).reshape(2, -1).T
  return places - (np.array(IMAGE_SHAPE[:2]) - 1) / 2
