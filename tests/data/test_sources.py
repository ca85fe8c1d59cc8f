import dataclasses
import importlib.util
import json
import pathlib
import tempfile
from unittest import mock

import jpeg_dataset
import numpy as np
import pytest
import tensorflow_datasets as tfds

from normlab import errors
from normlab.data.sets import sources

REAL = {
  'cifar10': ((45_000, 5_000, 10_000), (32, 32, 3)),
  'mnist': ((55_000, 5_000, 10_000), (28, 28, 1)),
  'binary_mnist': ((55_000, 5_000, 10_000), (28, 28, 1)),
}


@pytest.fixture(params=list(REAL))
def real(request):
  return request.param


@pytest.fixture
def no_cache():
  sources.load.cache_clear()
  yield
  sources.load.cache_clear()


@pytest.fixture(scope='module')
def tfrecord_dir(tmp_path_factory):
  """A folder in which mnist is prepared, but as tfrecord."""
  data_dir = tmp_path_factory.mktemp('tfrecord')
  source = pathlib.Path(jpeg_dataset.write(data_dir, 'imagenet2012'))
  target = data_dir / 'mnist' / '1.0.0'
  target.mkdir(parents=True)
  info = json.loads((source / 'dataset_info.json').read_text())
  info |= {'name': 'mnist', 'fileFormat': 'tfrecord'}
  (target / 'dataset_info.json').write_text(json.dumps(info))
  features = (source / 'features.json').read_text()
  (target / 'features.json').write_text(features)
  return data_dir


def test_describes_real_data(real, shared_data):
  sizes, shape = REAL[real]
  description = sources.describe(real, shared_data)
  assert tuple(description.sizes) == ('train', 'validation', 'test')
  assert tuple(description.sizes.values()) == sizes
  assert description.image_shape == shape
  assert description.num_classes == 10


def test_reads_real_images(real, shared_data):
  own = sources.BINARY.get(real, real)
  builder = sources.prepared_builder(own, shared_data)
  split = sources.read(builder, 'train[:50]')
  assert split.images.shape == (50, *REAL[real][1])
  assert split.images.dtype == np.uint8
  assert split.images.max() > 200
  assert split.labels.shape == (50,)
  assert split.labels.dtype == np.int32
  assert 5 <= len(set(split.labels.tolist())) <= 10


def test_loads_the_splits_that_describe_counts(
  real, shared_data, monkeypatch, no_cache
):
  asked = {}

  def count(builder, split):
    asked[split] = builder.info.splits[split].num_examples
    return asked[split]

  monkeypatch.setattr(sources, 'read', count)
  monkeypatch.setattr(sources, 'binary', lambda examples: examples)
  splits = sources.load(real, shared_data)
  assert splits == sources.describe(real, shared_data).sizes
  assert list(asked) == ['train[:-5000]', 'train[-5000:]', 'test']


def test_black_and_white_is_split_at_half():
  greys = np.uint8([0, 127, 128, 255]).reshape(4, 1, 1, 1)
  seen = sources.binary(sources.Examples(greys, np.arange(4)))
  assert seen.images.ravel().tolist() == [0, 0, 255, 255]
  assert seen.images.dtype == np.uint8 and seen.labels.tolist() == [0, 1, 2, 3]


def test_a_set_in_black_and_white_is_prepared_as_the_one_it_is_made_of(
  tmp_path,
):
  with pytest.raises(errors.ConfigError, match='prepare_data.py mnist --data'):
    sources.load('binary_mnist', str(tmp_path))


@pytest.mark.parametrize('function', [sources.describe, sources.load])
def test_data_that_are_not_prepared_say_the_command(function, tmp_path):
  with pytest.raises(errors.ConfigError) as error:
    function('cifar10', str(tmp_path))
  text = str(error.value)
  assert f'python scripts/prepare_data.py cifar10 --data_dir={tmp_path}' in text
  assert 'is not prepared' in text
  assert '\n' not in text


def test_default_folder_is_named_where_nothing_is_prepared(
  tmp_path, monkeypatch
):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  with pytest.raises(errors.ConfigError, match=f'--data_dir={tmp_path}$'):
    sources.describe('mnist')


@pytest.mark.parametrize('function', [sources.describe, sources.load])
def test_tfrecord_is_refused(function, tfrecord_dir):
  with pytest.raises(errors.ConfigError) as error:
    function('mnist', str(tfrecord_dir))
  text = str(error.value)
  assert 'is stored as tfrecord' in text
  assert 'allowed is array_record' in text
  assert 'python scripts/prepare_data.py mnist' in text


def test_same_files_as_array_record_are_not_refused(tfrecord_dir, tmp_path):
  target = tmp_path / 'mnist' / '1.0.0'
  target.mkdir(parents=True)
  for file in (tfrecord_dir / 'mnist' / '1.0.0').iterdir():
    text = file.read_text().replace('tfrecord', 'array_record')
    (target / file.name).write_text(text)
  for split in ('train', 'validation'):
    shard = target / f'mnist-{split}.array_record-00000-of-00001'
    with pytest.raises(errors.ConfigError, match=f'{shard.name} is missing'):
      sources.prepared_builder('mnist', str(tmp_path))
    shard.touch()
  builder = sources.prepared_builder('mnist', str(tmp_path))
  assert builder.info.file_format is tfds.core.FileFormat.ARRAY_RECORD


def zeroed(content):
  return bytes(len(content))


def cut(content):
  return content[: len(content) // 2]


def flipped(content):
  middle = len(content) // 2
  return (
    content[:middle] + bytes([content[middle] ^ 16]) + content[middle + 1 :]
  )


SHARD = 'mnist-train.array_record-00000-of-00001'


@pytest.fixture
def mnist(tmp_path):
  """A prepared data set by the name of MNIST: its folder."""
  return pathlib.Path(
    jpeg_dataset.write(tmp_path, 'mnist', {'train': 8, 'test': 8})
  )


@pytest.mark.parametrize(
  ('damage', 'file'),
  [
    *((zeroed, name) for name in ('dataset_info.json', 'features.json', SHARD)),
    *((cut, name) for name in ('dataset_info.json', 'features.json', SHARD)),
    *((None, name) for name in ('features.json', SHARD)),
    (flipped, SHARD),
    (lambda content: b'', SHARD),
  ],
)
def test_a_damaged_copy_is_said_in_one_line_with_the_way_out(
  damage, file, mnist, tmp_path, no_cache, monkeypatch
):
  monkeypatch.setattr(
    sources, 'SLICES_WITHOUT_VALIDATION', {'train': 'train', 'test': 'test'}
  )
  content = (mnist / file).read_bytes()
  (mnist / file).unlink()
  if damage:
    (mnist / file).write_bytes(damage(content))
  with pytest.raises(errors.ConfigError, match='if it is damaged') as error:
    sources.load('mnist', str(tmp_path))
  text = str(error.value)
  assert f"'mnist' in {str(mnist)!r} cannot be read: " in text
  assert text.endswith(
    'delete that folder and prepare it again: python '
    f'scripts/prepare_data.py mnist --data_dir={tmp_path}'
  )
  assert '\n' not in text


def test_what_is_prepared_is_not_prepared_again(mnist, tmp_path, monkeypatch):
  monkeypatch.setattr(tfds, 'builder', None)
  assert sources.prepare('mnist', str(tmp_path)) == str(mnist)
  (mnist / SHARD).unlink()
  with pytest.raises(errors.ConfigError, match=f'{SHARD} is missing'):
    sources.prepare('mnist', str(tmp_path))


def test_preparing_over_a_damaged_copy_is_refused(mnist, tmp_path, monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: 'here')
  monkeypatch.setattr(
    tfds, 'builder', lambda *_, **__: mock.Mock(data_path=mnist)
  )
  (mnist / 'dataset_info.json').unlink()
  with pytest.raises(errors.ConfigError, match='dataset_info.json is missing'):
    sources.prepare('mnist', str(tmp_path))


def test_the_embedded_data_are_where_they_are(tmp_path):
  path = pathlib.Path(sources.prepare('digits', str(tmp_path)))
  assert path.is_file()
  assert list(tmp_path.iterdir()) == []


def test_a_builder_of_what_is_not_prepared_leaves_no_temporary_folder(
  tmp_path, monkeypatch
):
  temporary = tmp_path / 'tmp'
  temporary.mkdir()
  monkeypatch.setattr(tempfile, 'tempdir', str(temporary))
  jpeg_dataset.write(tmp_path)
  assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
  'function', [sources.describe, sources.load, sources.prepare]
)
def test_unknown_name_lists_the_known_ones(function):
  with pytest.raises(errors.ConfigError) as error:
    function('cifar11')
  text = str(error.value)
  assert "unknown data set 'cifar11'" in text
  assert "did you mean 'cifar10'?" in text
  assert all(name in text for name in sources.DATASETS)


def test_preparing_without_tensorflow_names_the_extra(tmp_path, monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(errors.ConfigError) as error:
    sources.prepare('mnist', str(tmp_path))
  assert "pip install -e '.[prepare]'" in str(error.value)
  assert list(tmp_path.iterdir()) == []


def test_preparing_downloads_as_array_record(tmp_path, monkeypatch):
  calls = []

  class Builder:
    data_path = tmp_path / 'mnist' / '3.0.1'

    def download_and_prepare(self):
      calls.append('prepared')

  def builder(name, **fields):
    calls.append((name, fields))
    return Builder()

  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: 'here')
  monkeypatch.setattr(tfds, 'builder', builder)
  assert sources.prepare('mnist', str(tmp_path)) == str(Builder.data_path)
  fields = {'data_dir': str(tmp_path), 'file_format': 'array_record'}
  assert calls == [('mnist', fields), 'prepared']


@pytest.fixture(scope='module')
def streamed_dir(tmp_path_factory):
  """Both streamed sets, made up."""
  folder = tmp_path_factory.mktemp('streamed')
  jpeg_dataset.write(folder, num_classes=4)
  sizes = {'train': 20, 'validation': 3}
  jpeg_dataset.write(folder, 'imagenet2012', sizes, num_classes=5)
  return str(folder)


def test_describes_streamed_sets(streamed_dir):
  described = sources.describe('imagenette', streamed_dir)
  assert described == sources.Description(
    sizes={'train': 38, 'validation': 2, 'test': 16},
    image_shape=(224, 224, 3),
    num_classes=4,
  )
  smaller = sources.describe('imagenette', streamed_dir, 64)
  expected = dataclasses.replace(described, image_shape=(64, 64, 3))
  assert smaller == expected
  # One hundredth of 20 is none: there is one at least.
  sizes = sources.describe('imagenet2012', streamed_dir).sizes
  assert sizes == {'train': 19, 'validation': 1, 'test': 3}


@pytest.mark.parametrize('suffix', ['full-size-v2', 'full-size-v2/1.0.0'])
def test_streamed_sets_take_a_config_and_version(suffix, streamed_dir):
  described = sources.describe(f'imagenette/{suffix}', streamed_dir)
  assert described == sources.describe('imagenette', streamed_dir)


def test_sets_in_memory_have_images_of_one_size(no_cache):
  assert sources.describe('digits', image_size=64).image_shape == (8, 8, 1)


@pytest.mark.parametrize('name', ['imagenette', 'imagenette/160px-v2'])
def test_streamed_sets_are_not_loaded(name, streamed_dir, no_cache):
  with pytest.raises(
    errors.ConfigError, match='is streamed from disk'
  ) as error:
    sources.load(name, streamed_dir)
  assert 'digits' in str(error.value)


def test_names_with_a_config_are_known_for_streamed_sets_only():
  with pytest.raises(errors.ConfigError, match="did you mean 'mnist'"):
    sources.describe('mnist/3.0.1')


def test_pixels_of_streamed_sets_are_those_of_imagenet():
  mean, std = sources.pixel_statistics_of('imagenet2012')
  assert mean.dtype == std.dtype == np.float32
  assert mean.shape == std.shape == (3,)
  assert 0.4 < mean.min() < mean.max() < 0.5
  assert 0.22 < std.min() < std.max() < 0.23
  with pytest.raises(errors.ConfigError, match='not streamed'):
    sources.pixel_statistics_of('cifar10')


def test_imagenet_asks_for_the_files_that_nobody_may_distribute(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: 'here')
  with pytest.raises(errors.ConfigError) as error:
    sources.prepare('imagenet2012', str(tmp_path))
  text = str(error.value)
  assert 'ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar' in text
  assert str(tmp_path / 'downloads' / 'manual') in text
  assert 'manual_dir' in text and '\n' not in text
  assert list(tmp_path.iterdir()) == []
