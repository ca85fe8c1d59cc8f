import gzip
import importlib.util
import os
import pathlib
import subprocess
import sys
import zlib
from unittest import mock

import numpy as np
import pytest
from sklearn.datasets import load_digits

from normlab import errors
from normlab.data.sets import digits, sources

# CRC-32 of images and labels, by which all results on the digits were made.
CHECKSUMS = {
  'train': (40338117, 3769987472),
  'validation': (2096199176, 3079102190),
  'test': (1048809749, 4242222345),
}


@pytest.fixture(scope='module')
def splits():
  sources.load.cache_clear()
  return sources.load('digits')


def fingerprints(split):
  return [image.tobytes() for image in split.images]


def test_no_image_is_in_two_splits(splits):
  seen = [set(fingerprints(split)) for split in splits.values()]
  assert len(set.union(*seen)) == sum(map(len, seen)) == 1_797


def test_pixels_and_labels_are_those_of_scikit_learn(splits):
  source = load_digits()
  pixels = np.round(source.images * (255 / 16)).astype(np.uint8)
  expected = {
    image.tobytes(): label
    for image, label in zip(pixels, source.target, strict=True)
  }
  found = {}
  for split in splits.values():
    found |= dict(zip(fingerprints(split), split.labels, strict=True))
  assert found == expected


def test_splits_are_mixed_not_cut_by_position(splits):
  # The first 1,077 images of the source were written by other people.
  first = load_digits().images[:1_077] * (255 / 16)
  by_position = {image.tobytes() for image in np.round(first).astype(np.uint8)}
  shared = by_position & set(fingerprints(splits['train']))
  assert 0.5 < len(shared) / 1_077 < 0.7


def test_describe_agrees_with_load(splits):
  description = sources.describe('digits')
  sizes = {name: len(split.images) for name, split in splits.items()}
  assert description.sizes == sizes
  assert description.image_shape == splits['train'].images.shape[1:]
  labels = np.concatenate([split.labels for split in splits.values()])
  assert description.num_classes == labels.max() + 1


def test_pixels_labels_and_their_order_are_those_of_published_runs(splits):
  checksums = {
    name: (zlib.crc32(split.images), zlib.crc32(split.labels.copy()))
    for name, split in splits.items()
  }
  assert checksums == CHECKSUMS


def test_reading_imports_no_scikit_learn_and_writes_nothing(root, tmp_path):
  """Nor does it need a folder that can be written."""
  code = """
import sys
from normlab import data
data.load('digits', '/proc/nowhere')
print('sklearn' in sys.modules)
"""
  folders = {name: str(tmp_path) for name in ('HOME', 'TMPDIR')}
  result = subprocess.run(
    [sys.executable, '-c', code],
    env=os.environ | folders | {'PYTHONPATH': str(root)},
    capture_output=True,
    text=True,
  )
  assert result.stdout == 'False\n', result.stderr
  assert list(tmp_path.iterdir()) == []


def test_loading_twice_reads_once(splits):
  assert sources.load('digits') is splits


def cut(content):
  return content[: len(content) // 2]


def flip(content):
  middle = len(content) // 2
  return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def other_numbers(content):
  lines = gzip.decompress(content).splitlines(keepends=True)
  return gzip.compress(b''.join(reversed(lines)))


@pytest.mark.parametrize(
  'damage',
  [
    cut,
    flip,
    other_numbers,
    lambda content: b'',
    lambda content: bytes(len(content)),
    lambda content: gzip.compress(b''),
    lambda content: gzip.compress(b'1,2\n3'),
    None,
  ],
)
def test_a_damaged_file_of_scikit_learn_is_said_in_one_line(
  damage, tmp_path, monkeypatch
):
  whole = importlib.util.find_spec('sklearn')
  file = pathlib.Path('datasets', 'data', 'digits.csv.gz')
  if damage:
    content = (pathlib.Path(whole.origin).parent / file).read_bytes()
    (tmp_path / file.parent).mkdir(parents=True)
    (tmp_path / file).write_bytes(damage(content))
  here = mock.Mock(origin=str(tmp_path / '__init__.py'))
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: here)
  with pytest.raises(errors.ConfigError, match='install scikit-learn') as error:
    digits.splits()
  assert str(tmp_path / file) in str(error.value)
  assert '\n' not in str(error.value)
