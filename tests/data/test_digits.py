import json
import pathlib
import tempfile

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from normlab.data import digits, sources


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return tmp_path_factory.mktemp('data')


@pytest.fixture(scope='module')
def splits(data_dir):
  sources.load.cache_clear()
  yield sources.load('digits', str(data_dir))
  sources.load.cache_clear()


def fingerprints(split):
  return [image.tobytes() for image in split.images]


def test_sizes_are_1077_360_360(splits):
  sizes = {name: len(split.labels) for name, split in splits.items()}
  assert sizes == {'train': 1_077, 'validation': 360, 'test': 360}
  assert sum(sizes.values()) == 1_797


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


def test_all_grey_levels_are_used(splits):
  levels = np.unique(splits['train'].images)
  assert len(levels) == 17
  assert levels[0] == 0 and levels[-1] == 255


def test_arrays_are_uint8_images_and_int32_labels(splits):
  for split in splits.values():
    assert split.images.dtype == np.uint8
    assert split.images.shape[1:] == (8, 8, 1)
    assert split.labels.dtype == np.int32


def test_every_split_has_every_class(splits):
  for split in splits.values():
    assert set(split.labels.tolist()) == set(range(10))


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


def test_describe_writes_nothing(tmp_path):
  sources.describe('digits', str(tmp_path / 'nowhere'))
  assert list(tmp_path.iterdir()) == []


def test_is_prepared_as_array_record_in_data_dir(splits, data_dir):
  del splits
  (info,) = data_dir.glob('digits/*/dataset_info.json')
  assert json.loads(info.read_text())['fileFormat'] == 'array_record'


def test_second_load_reuses_the_files(splits, data_dir, monkeypatch):
  def refuse(*_):
    raise AssertionError('generated again')

  monkeypatch.setattr(digits.Digits, '_split_generators', refuse)
  sources.load.cache_clear()
  again = sources.load('digits', str(data_dir))
  assert again is not splits
  for name, split in splits.items():
    np.testing.assert_array_equal(again[name].images, split.images)
    np.testing.assert_array_equal(again[name].labels, split.labels)


def test_loading_twice_reads_once(data_dir):
  first = sources.load('digits', str(data_dir))
  assert sources.load('digits', str(data_dir)) is first


def test_prepare_returns_the_folder(splits, data_dir):
  del splits
  folder = pathlib.Path(sources.prepare('digits', str(data_dir)))
  assert folder.parent.parent == data_dir
  assert (folder / 'dataset_info.json').is_file()


def test_data_dir_that_cannot_be_written_still_works(
  splits, tmp_path, monkeypatch
):
  # Nobody can make a folder in place of a file, not even root.
  (tmp_path / 'data').mkdir()
  (tmp_path / 'data' / 'digits').write_text('')
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
  sources.load.cache_clear()
  elsewhere = sources.load('digits', str(tmp_path / 'data'))
  assert (tmp_path / 'normlab_data' / 'digits').is_dir()
  np.testing.assert_array_equal(elsewhere['test'].images, splits['test'].images)


def test_a_mistyped_data_dir_is_not_created(tmp_path, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'default'))
  sources.load.cache_clear()
  sources.load('digits', str(tmp_path / 'typo'))
  assert [path.name for path in tmp_path.iterdir()] == ['default']


def test_png_holds_the_pixels():
  pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
  np.testing.assert_array_equal(Image.open(digits.png(pixels)), pixels)
