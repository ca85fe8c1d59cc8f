"""Finds data sets that TFDS prepared, and reads them without TensorFlow."""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator

import tensorflow_datasets as tfds
from absl import logging

from normlab import names


def default_data_dir() -> str:
  """TFDS_DATA_DIR, else ~/tensorflow_datasets: where TFDS itself looks."""
  default = os.path.join('~', 'tensorflow_datasets')
  return os.path.expanduser(os.environ.get('TFDS_DATA_DIR') or default)


def prepared_builder(
  name: str, data_dir: str | None
) -> tfds.core.DatasetBuilder:
  """The builder of a data set that TFDS has prepared as array_record.

  Args:
    name: NAME, NAME/CONFIG, NAME/VERSION or NAME/CONFIG/VERSION; what is left
      open is the first of TFDS's configs that is there, and its newest version.
    data_dir: where TFDS prepared it; None is `default_data_dir()`.

  Raises:
    names.ConfigError: not prepared, in another format, or damaged.
  """
  folder = pathlib.Path(data_dir or default_data_dir()).expanduser()
  command = f'python scripts/prepare_data.py {name} --data_dir={folder}'
  path = find(name, folder)
  if path is None:
    raise names.ConfigError(
      f'data set {name!r} is not prepared in data_dir {str(folder)!r}; '
      f'prepare it once: {command}'
    )
  try:
    builder = tfds.builder_from_directory(path)
  except Exception as error:  # TFDS raises what its parsers raise.
    raise names.ConfigError(
      f'data set {name!r} in {str(path)!r} is damaged: its metadata '
      f'cannot be read; prepare it again: {command}'
    ) from error
  if builder.info.file_format is not tfds.core.FileFormat.ARRAY_RECORD:
    raise names.ConfigError(
      f'data set {name!r} in data_dir {str(folder)!r} is stored as '
      f'{builder.info.file_format.value}, which needs TensorFlow to read; '
      f'allowed is array_record; prepare it elsewhere: python '
      f'scripts/prepare_data.py {name} --data_dir=OTHER_FOLDER'
    )
  for split in builder.info.splits.values():
    for file in split.filepaths:
      if not file.exists():
        raise names.ConfigError(
          f'data set {name!r} in data_dir {str(folder)!r} is incomplete: '
          f'{file.name} is missing; prepare it again: {command}'
        )
  return builder


def find(name: str, folder: pathlib.Path) -> pathlib.Path | None:
  """The folder of a prepared data set; None where there is none.

  Args:
    name: as for `prepared_builder`.
    folder: the data_dir.
  """
  depths = ('dataset_info.json', '*/dataset_info.json', '*/*/dataset_info.json')
  found = [
    path.parent for depth in depths for path in (folder / name).glob(depth)
  ]
  return min(found, key=_preference, default=None)


def _preference(path: pathlib.Path) -> tuple:
  """Sorts full-size images before reduced ones, and new versions first."""
  config = path.parent.name
  version = [-int(number) for number in re.findall(r'\d+', path.name)]
  return ('full-size' not in config, '-v2' not in config, config, version)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
  """Silences TFDS's bars and its advice to install OpenCV."""
  verbosity = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  tfds.disable_progress_bar()
  try:
    with contextlib.redirect_stdout(None):
      yield
  finally:
    tfds.enable_progress_bar()
    logging.set_verbosity(verbosity)
