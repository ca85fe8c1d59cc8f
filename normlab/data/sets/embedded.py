"""Data sets that are made in memory: ours by name, and own ones by path."""

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from normlab import errors, own_code
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


@functools.lru_cache(maxsize=8)
def find(name: str) -> Embedded | None:
  """A data set that is made in memory; None for an unknown name.

  Args:
    name: a key of `EMBEDDED`, or the import path of an `Embedded`, of anything
      with its attributes, as a module, or of a function that returns one.

  Raises:
    errors.ConfigError: an import that fails, or an attribute that is missing.
  """
  if not own_code.is_import_path(name):
    return EMBEDDED.get(name)
  found = own_code.imported('data set', name)
  if callable(found) and not hasattr(found, 'splits'):
    code = getattr(found, '__code__', None)
    with errors.users_code(
      f'data set {name!r}', code.co_filename if code else ''
    ):
      found = found()
  fields = Embedded._fields[:4]
  if missing := [field for field in fields if not hasattr(found, field)]:
    raise errors.ConfigError(
      f'data set {name!r}: {errors.shown(found)} has no {", ".join(missing)}; '
      f'must have {", ".join(fields)}, as normlab.data.sets.embedded.Embedded'
    )
  known = {f: getattr(found, f) for f in Embedded._fields if hasattr(found, f)}
  return Embedded(**known)


def checked_splits(
  name: str, own: Embedded
) -> dict[str, tuple[np.ndarray, ...]]:
  """The splits of a data set of own code, which are what it said.

  Raises:
    errors.ConfigError: a split is missing, or an array has another shape or
      type.
  """
  with errors.users_code(f'data set {name!r}', ''):
    splits = {k: tuple(map(np.asarray, v)) for k, v in own.splits().items()}
  images = np.dtype(np.float32 if own.is_regression else np.uint8)
  labels = (own.num_classes,) if own.is_regression else ()
  found = {}
  for split, size in own.sizes.items():
    if split not in splits:
      raise errors.ConfigError(f'data set {name!r} has no split {split!r}')
    x, y = splits[split]
    here = x.dtype, x.shape, y.shape
    wanted = images, (size, *own.image_shape), (size, *labels)
    if here != wanted:
      raise errors.ConfigError(
        f'data set {name!r}: images and labels of {split!r} are {here[0]} '
        f'{here[1]} and {here[2]}; must be {wanted[0]} {wanted[1]} and '
        f'{wanted[2]}'
      )
    if not own.is_regression and not (
      0 <= y.min() and y.max() < own.num_classes
    ):
      raise errors.ConfigError(
        f'data set {name!r}: labels of {split!r} are from {y.min()} to '
        f'{y.max()}; must be from 0 to {own.num_classes - 1}'
      )
    found[split] = x, y.astype(np.float32 if own.is_regression else np.int32)
  return found


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
