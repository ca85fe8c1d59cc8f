"""The data sets that come with the laboratory, by name."""

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from normlab.data.sets import (
  digits,
  digits_affine,
  linear_map,
  regressions,
  valley,
)


class Embedded(NamedTuple):
  """A data set that is made in memory.

  Attributes:
    splits: makes the images and labels of 'train', 'validation' and 'test'.
    sizes: examples of each.
    image_shape: (height, width, channels).
    num_classes: as of `sources.Description`.
    is_regression: as there.
  """

  splits: Callable[[], dict[str, tuple[np.ndarray, np.ndarray]]]
  sizes: dict[str, int]
  image_shape: tuple[int, int, int]
  num_classes: int
  is_regression: bool = False


def seeded(
  name: str, seeds: Iterable[int], make: Callable[..., Embedded]
) -> dict[str, Embedded]:
  """A set that is drawn, 'name', and its further draws 'name/seed'."""
  return {name: make()} | {f'{name}/{seed}': make(seed) for seed in seeds}


def _distorted(seed: int = 0) -> Embedded:
  splits = functools.partial(digits_affine.splits, seed)
  own = digits_affine
  return Embedded(splits, own.SIZES, own.IMAGE_SHAPE, own.NUM_CLASSES)


def _regression(
  splits: Callable[..., regressions.Splits], outputs: int, *arguments: object
) -> Embedded:
  return Embedded(
    functools.partial(splits, *arguments),
    regressions.SIZES,
    regressions.IMAGE_SHAPE,
    outputs,
    is_regression=True,
  )


EMBEDDED: dict[str, Embedded] = {
  'digits': Embedded(
    digits.splits, digits.SIZES, digits.IMAGE_SHAPE, digits.NUM_CLASSES
  ),
  **seeded('digits_affine', digits_affine.SEEDS, _distorted),
  **seeded(
    'linear_map',
    linear_map.SEEDS,
    functools.partial(_regression, linear_map.splits, linear_map.OUTPUTS),
  ),
}
for _name in valley.PREPARATIONS:
  EMBEDDED |= seeded(
    f'valley/{_name}',
    valley.SEEDS,
    functools.partial(_regression, valley.splits, valley.OUTPUTS, _name),
  )
