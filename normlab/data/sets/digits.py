"""The embedded data set: 1,797 real handwritten digits, 8x8.

They are read from scikit-learn's own file, which takes milliseconds; importing
scikit-learn takes a second. Nothing is written, so no copy can be damaged.
"""

import gzip
import hashlib
import importlib.util
import pathlib
import zlib
from collections.abc import Callable

import numpy as np

from normlab import errors

SIZES = {'train': 1_077, 'validation': 360, 'test': 360}
IMAGE_SHAPE = (8, 8, 1)
NUM_CLASSES = 10
# CRC-32 of the file's numbers, as int32.
CHECKSUM = 3_704_957_492


def splits() -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Images and labels of each split, 60 / 20 / 20 at random, once.

  E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998: the test
  part of "Optical Recognition of Handwritten Digits", by 13 of its 43 writers.

  Returns:
    Split to uint8 [examples, 8, 8, 1] and int32 [examples].

  Raises:
    errors.ConfigError: scikit-learn's file is missing or damaged.
  """
  table = rows()
  # The file is ordered by writer, so a split by position would test on other
  # people than it trains on.
  order = np.random.default_rng(0).permutation(len(table))
  parts = np.split(order, np.cumsum(list(SIZES.values()))[:-1])
  return {
    split: arrays(table[sorted(part.tolist(), key=_place_in(split))])
    for split, part in zip(SIZES, parts, strict=True)
  }


def arrays(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Images and labels of rows of the file: 64 pixels and the label."""
  # The source has 17 grey levels, 0 to 16.
  pixels = np.round(table[:, :-1] * (255 / 16)).astype(np.uint8)
  return pixels.reshape(-1, *IMAGE_SHAPE), table[:, -1]


def file() -> pathlib.Path:
  """Where scikit-learn keeps them."""
  package = pathlib.Path(importlib.util.find_spec('sklearn').origin).parent
  return package / 'datasets' / 'data' / 'digits.csv.gz'


def rows() -> np.ndarray:
  """The numbers of the file: int32 [1797, 65].

  Raises:
    errors.ConfigError: it is missing or damaged.
  """
  try:
    lines = gzip.decompress(file().read_bytes()).splitlines()
    table = np.array([line.split(b',') for line in lines], np.int32)
    if zlib.crc32(table) != CHECKSUM:
      raise ValueError('its numbers are others')
  except (OSError, EOFError, ValueError, zlib.error) as error:
    raise errors.ConfigError(
      f"scikit-learn's file of the digits, {str(file())!r}, is damaged: "
      f'{errors.one_line(str(error))}; install scikit-learn again: '
      'pip install --force-reinstall scikit-learn'
    ) from error
  return table


def _place_in(split: str) -> Callable[[int], bytes]:
  """Orders the rows of a split as TFDS would write them: by their hashes.

  Any order would do, but runs in this one have been published.
  """
  return lambda row: hashlib.md5(f'{split}{row}'.encode()).digest()
