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
    file = code.co_filename if code else ''
    with errors.users_code(f'data set {name!r}', file):
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
  what = f'data set {name!r}'
  with errors.users_code(what, ''):
    splits = {k: tuple(map(np.asarray, v)) for k, v in own.splits().items()}
  image, label = np.dtype('uint8'), np.dtype('int32')
  labels: tuple[int, ...] = ()
  if own.is_regression:
    image = label = np.dtype('float32')
    labels = (own.num_classes,)
  found = {}
  for split, size in own.sizes.items():
    if len(splits.get(split, ())) != 2:
      raise errors.ConfigError(f'{what} has no images and labels of {split!r}')
    x, y = splits[split]
    if np.issubdtype(y.dtype, np.integer):
      y = y.astype(label)
    here = f'{x.dtype} {x.shape} and {y.dtype} {y.shape}'
    shape = (size, *own.image_shape)
    wanted = f'{image} {shape} and {label} {(size, *labels)}'
    if here != wanted:
      raise errors.ConfigError(
        f'{what}: images and labels of {split!r} are {here}; must be {wanted}'
      )
    if not labels and not (0 <= y.min() and y.max() < own.num_classes):
      raise errors.ConfigError(
        f'{what}: labels of {split!r} are from {y.min()} to {y.max()}; must be '
        f'from 0 to {own.num_classes - 1}'
      )
    found[split] = x, y
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
