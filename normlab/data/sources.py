"""Reads whole data sets that TFDS prepared into memory, without TensorFlow."""

import contextlib
import dataclasses
import functools
import importlib.util
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from normlab import names
from normlab.data.digits import SIZES, Digits

# Examples taken from the end of the training split for validation: but for the
# digits, no source has a validation split of its own.
VALIDATION_SIZE = 5_000
SLICES_WITHOUT_VALIDATION = {
  'train': f'train[:-{VALIDATION_SIZE}]',
  'validation': f'train[-{VALIDATION_SIZE}:]',
  'test': 'test',
}

DATASETS: dict[str, str] = {
  'digits': 'embedded: 1,797 handwritten digits, 8x8x1, 10 classes',
  'mnist': '70,000 handwritten digits, 28x28x1, 10 classes',
  'fashion_mnist': '70,000 pieces of clothing, 28x28x1, 10 classes',
  'cifar10': '60,000 photographs, 32x32x3, 10 classes',
  'cifar100': '60,000 photographs, 32x32x3, 100 classes',
}


@dataclasses.dataclass(frozen=True)
class Split:
  """Examples in memory.

  Attributes:
    images: uint8 [examples, height, width, channels].
    labels: int32 [examples].
  """

  images: np.ndarray
  labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Description:
  """What is known of a data set without reading it.

  Attributes:
    sizes: number of examples of 'train', 'validation' and 'test'.
    image_shape: (height, width, channels).
    num_classes: number of labels.
  """

  sizes: dict[str, int]
  image_shape: tuple[int, int, int]
  num_classes: int


def default_data_dir() -> str:
  """TFDS_DATA_DIR, else ~/tensorflow_datasets: where TFDS itself looks."""
  default = os.path.join('~', 'tensorflow_datasets')
  return os.path.expanduser(os.environ.get('TFDS_DATA_DIR') or default)


def describe(name: str, data_dir: str | None = None) -> Description:
  """Sizes and shapes of a data set; reads its metadata, writes nothing.

  Args:
    name: a key of `DATASETS`.
    data_dir: where TFDS prepared it; None is `default_data_dir()`.

  Raises:
    names.ConfigError: an unknown name, or a data set that is not prepared; says
      the command that prepares it.
  """
  names.lookup('data set', name, DATASETS)
  if name == 'digits':
    return Description(dict(SIZES), (8, 8, 1), 10)
  info = prepared_builder(name, data_dir).info
  sizes = {
    split: info.splits[part].num_examples
    for split, part in SLICES_WITHOUT_VALIDATION.items()
  }
  classes = info.features['label'].num_classes
  return Description(sizes, tuple(info.features['image'].shape), classes)


# One data set stays in memory: the runs of a sweep mostly share it.
@functools.lru_cache(maxsize=1)
def load(name: str, data_dir: str | None = None) -> dict[str, Split]:
  """Reads a data set: 'train', 'validation' and 'test', which never overlap.

  TFDS has no validation split of these: the last 5,000 training examples are it.
  `digits` is prepared on first use, which takes two seconds.

  Args:
    name: a key of `DATASETS`.
    data_dir: where TFDS prepared it; None is `default_data_dir()`.

  Raises:
    names.ConfigError: as `describe`.
  """
  names.lookup('data set', name, DATASETS)
  if name == 'digits':
    builder = prepare_digits(data_dir)
    slices = {split: split for split in SIZES}
  else:
    builder = prepared_builder(name, data_dir)
    slices = SLICES_WITHOUT_VALIDATION
  return {split: read(builder, part) for split, part in slices.items()}


def read(builder: tfds.core.DatasetBuilder, split: str) -> Split:
  """Reads one split, in TFDS's own notation ('train[:100]')."""
  with quiet():
    source = builder.as_data_source(split=split)
    # Asking for all rows at once is twice as fast as one after another.
    examples = source.__getitems__(range(len(source)))
  images = np.stack([example['image'] for example in examples])
  labels = np.array([example['label'] for example in examples], np.int32)
  return Split(images, labels)


def prepare(name: str, data_dir: str | None = None) -> str:
  """Downloads a data set and writes it as array_record; returns its folder.

  Args:
    name: a key of `DATASETS`.
    data_dir: where to; None is `default_data_dir()`.

  Raises:
    names.ConfigError: an unknown name, a folder that cannot be written, or
      TensorFlow is missing, with which TFDS unpacks the downloads.
  """
  names.lookup('data set', name, DATASETS)
  if name != 'digits' and importlib.util.find_spec('tensorflow') is None:
    raise names.ConfigError(
      f'preparing {name!r} needs the prepare extra, once: pip install -e '
      "'.[prepare]' (reading what is prepared does not)"
    )
  folder = os.path.expanduser(data_dir or default_data_dir())
  try:
    os.makedirs(folder, exist_ok=True)
  except OSError as error:
    raise names.ConfigError(
      f'data_dir {folder!r} cannot be written: {error.strerror}'
    ) from error
  if name == 'digits':
    return str(prepare_digits(folder).data_path)
  builder = tfds.builder(name, data_dir=folder, file_format='array_record')
  builder.download_and_prepare()
  return str(builder.data_path)


def prepared_builder(
  name: str, data_dir: str | None
) -> tfds.core.DatasetBuilder:
  """The builder of a data set that TFDS has prepared as array_record.

  Raises:
    names.ConfigError: not prepared, or in another format.
  """
  folder = pathlib.Path(data_dir or default_data_dir()).expanduser()
  command = f'python scripts/prepare_data.py {name} --data_dir={folder}'
  versions = sorted(
    (path.parent for path in (folder / name).glob('*/dataset_info.json')),
    key=lambda path: [int(n) for n in re.findall(r'\d+', path.name)],
  )
  if not versions:
    raise names.ConfigError(
      f'data set {name!r} is not prepared in data_dir {str(folder)!r}; '
      f'prepare it once: {command}'
    )
  try:
    builder = tfds.builder_from_directory(versions[-1])
  except Exception as error:  # TFDS raises what its parsers raise.
    raise names.ConfigError(
      f'data set {name!r} in {str(versions[-1])!r} is damaged: its metadata '
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
    for path in split.filepaths:
      if not path.exists():
        raise names.ConfigError(
          f'data set {name!r} in data_dir {str(folder)!r} is incomplete: '
          f'{path.name} is missing; prepare it again: {command}'
        )
  return builder


def prepare_digits(data_dir: str | None) -> Digits:
  """Writes the embedded data set where it is missing, and returns its builder.

  The embedded data set is always there: a folder that does not exist is not
  created but replaced by the default one, and one that cannot be written (a
  read-only mount) by one in the system's temporary folder.
  """
  folder = os.path.expanduser(data_dir or default_data_dir())
  if not os.path.isdir(folder):
    folder = default_data_dir()
  try:
    return _prepare_digits(folder)
  except OSError:
    return _prepare_digits(os.path.join(tempfile.gettempdir(), 'normlab_data'))


def _prepare_digits(folder: str) -> Digits:
  with quiet():
    builder = Digits(data_dir=folder, file_format='array_record')
    try:
      builder.download_and_prepare()
    except OSError:
      # Another process may have finished the same a moment ago.
      builder = Digits(data_dir=folder, file_format='array_record')
      if not builder.info.splits:
        raise
  return builder


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
