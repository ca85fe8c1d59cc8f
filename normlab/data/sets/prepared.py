"""Finds data sets that TFDS prepared, and reads them without TensorFlow."""

import contextlib
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator

import tensorflow_datasets as tfds
from absl import logging

from normlab import errors


def folder_of(data_dir: str | None) -> pathlib.Path:
  """The folder of prepared data sets; None is where TFDS itself looks.

  That is TFDS_DATA_DIR, else ~/tensorflow_datasets.
  """
  default = os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
  return pathlib.Path(os.path.expanduser(data_dir or default))


def prepared_builder(
  name: str, data_dir: str | None
) -> tfds.core.DatasetBuilder:
  """The builder of a data set that TFDS has prepared as array_record.

  Args:
    name: NAME, NAME/CONFIG, NAME/VERSION or NAME/CONFIG/VERSION; what is left
      open is the first of TFDS's configs that is there, and its newest version.
    data_dir: where TFDS prepared it; None as for `folder_of`.

  Raises:
    errors.ConfigError: not prepared, in another format, or damaged.
  """
  folder = folder_of(data_dir)
  path = find(name, folder)
  if path is None:
    raise errors.ConfigError(
      f'data set {name!r} is not prepared in data_dir {str(folder)!r}; '
      f'prepare it once: python scripts/prepare_data.py {name} '
      f'--data_dir={folder}'
    )
  try:
    builder = tfds.builder_from_directory(path)
  except Exception as error:  # TFDS raises what its parsers raise.
    problem = 'dataset_info.json or features.json is damaged'
    raise unreadable(name, data_dir, path, problem) from error
  if builder.info.file_format is not tfds.core.FileFormat.ARRAY_RECORD:
    raise errors.ConfigError(
      f'data set {name!r} in data_dir {str(folder)!r} is stored as '
      f'{builder.info.file_format.value}, which needs TensorFlow to read; '
      f'allowed is array_record; prepare it elsewhere: python '
      f'scripts/prepare_data.py {name} --data_dir=OTHER_FOLDER'
    )
  for split in builder.info.splits.values():
    for file in split.filepaths:
      if not file.exists():
        raise unreadable(name, data_dir, path, f'{file.name} is missing')
  return builder


def unreadable(
  name: str, data_dir: str | None, path: str | os.PathLike[str], problem: str
) -> errors.ConfigError:
  """The error for a data set in `path` that cannot be read."""
  return errors.ConfigError(
    f'data set {name!r} in {str(path)!r} cannot be read: {problem}; if it is '
    'damaged, delete that folder and prepare it again: python '
    f'scripts/prepare_data.py {name} --data_dir={folder_of(data_dir)}'
  )


def find(name: str, folder: pathlib.Path) -> pathlib.Path | None:
  """The folder of a prepared data set in a data_dir; None if there is none."""
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


@contextlib.contextmanager
def own_temporary_folder() -> Iterator[None]:
  """Removes with the block what is left in the temporary folder meanwhile.

  A builder of a data set that is not prepared leaves a folder there.
  """
  before = tempfile.tempdir
  with tempfile.TemporaryDirectory() as folder:
    tempfile.tempdir = folder
    try:
      yield
    finally:
      tempfile.tempdir = before
