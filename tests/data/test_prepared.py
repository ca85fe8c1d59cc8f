import pathlib

import pytest
from absl import logging

from normlab import errors
from normlab.data.sets import prepared


def make(folder, *paths):
  """Metadata files that look like those of prepared data sets."""
  for path in paths:
    (folder / path).mkdir(parents=True)
    (folder / path / 'dataset_info.json').write_text('{}')


@pytest.mark.parametrize(
  'there, name, expected',
  [
    (['mnist/3.0.1', 'mnist/3.0.10', 'mnist/2.9.9'], 'mnist', 'mnist/3.0.10'),
    (['mnist/3.0.1', 'mnist/3.0.10'], 'mnist/3.0.1', 'mnist/3.0.1'),
    (['set/160px-v2/1.0.0'], 'set', 'set/160px-v2/1.0.0'),
    (
      ['set/160px/1.0.0', 'set/320px-v2/1.0.0', 'set/160px-v2/1.0.0'],
      'set',
      'set/160px-v2/1.0.0',
    ),
    (
      ['set/160px-v2/1.0.0', 'set/full-size/1.0.0', 'set/full-size-v2/1.0.0'],
      'set',
      'set/full-size-v2/1.0.0',
    ),
    (
      ['set/full-size-v2/1.0.0', 'set/160px-v2/1.0.0', 'set/160px-v2/2.0.0'],
      'set/160px-v2',
      'set/160px-v2/2.0.0',
    ),
    (
      ['set/160px-v2/1.0.0', 'set/160px-v2/2.0.0'],
      'set/160px-v2/1.0.0',
      'set/160px-v2/1.0.0',
    ),
    (['mnist/3.0.1'], 'mnist/2.0.0', None),
    (['fashion_mnist/3.0.1'], 'mnist', None),
    ([], 'mnist', None),
  ],
)
def test_finds_the_full_size_and_the_newest_version(
  there, name, expected, tmp_path
):
  make(tmp_path, *there)
  found = prepared.find(name, tmp_path)
  assert found == (expected and tmp_path / expected)


def test_a_config_that_is_not_prepared_says_the_command(tmp_path):
  make(tmp_path, 'imagenette/160px-v2/1.0.0')
  with pytest.raises(errors.ConfigError) as error:
    prepared.prepared_builder('imagenette/320px-v2', str(tmp_path))
  assert 'prepare_data.py imagenette/320px-v2 --data_dir' in str(error.value)


def test_default_data_dir_is_that_of_tfds(tmp_path, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  assert prepared.folder_of(None) == tmp_path
  monkeypatch.delenv('TFDS_DATA_DIR')
  monkeypatch.setenv('HOME', '/home/somebody')
  expected = pathlib.Path('/home/somebody/tensorflow_datasets')
  assert prepared.folder_of(None) == expected


def test_quiet_silences_only_while_it_lasts(capsys):
  verbosity = logging.get_verbosity()
  with prepared.quiet():
    print('inside')
    assert logging.get_verbosity() == logging.ERROR
  print('outside')
  assert logging.get_verbosity() == verbosity
  assert capsys.readouterr().out == 'outside\n'
