"""Data sets by name: what they are, their splits, and reading them whole."""

import dataclasses
import functools
import importlib.util
import pathlib

import numpy as np
import tensorflow_datasets as tfds

from normlab import errors, registry
from normlab.data import images
from normlab.data.pixels import Examples, Standardizer
from normlab.data.sets import digits, embedded, valley
from normlab.data.sets.embedded import EMBEDDED
from normlab.data.sets.prepared import (
  find,
  folder_of,
  own_temporary_folder,
  prepared_builder,
  quiet,
  unreadable,
)

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
  'digits_affine': 'embedded: 28,000 distorted digits, 12x12x1, 10 classes',
  'linear_map': 'embedded: a linear map of 10 features, 10 outputs',
  **{
    f'valley/{name}': f'embedded: a linear regression, 10 features, {name}'
    for name in valley.PREPARATIONS
  },
  'mnist': '70,000 handwritten digits, 28x28x1, 10 classes',
  'binary_mnist': 'mnist in black and white, split at half',
  'fashion_mnist': '70,000 pieces of clothing, 28x28x1, 10 classes',
  'cifar10': '60,000 photographs, 32x32x3, 10 classes',
  'cifar100': '60,000 photographs, 32x32x3, 100 classes',
  'imagenette': 'streamed: 13,394 photographs of ImageNet, 10 classes',
  'imagenet2012': 'streamed: 1,331,167 photographs, 1,000 classes',
}

# Sets that are another, prepared one with two grey levels.
BINARY = {'binary_mnist': 'mnist'}

# Sets that stay on disk, with the share of their training split, from its end,
# that is for validation. TFDS has written it in random order. The labels of
# ImageNet's own test split are not public: its validation split is for tests.
STREAMED = {'imagenette': 0.05, 'imagenet2012': 0.01}

# The usual ones, of ImageNet's training images.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Files that nobody may distribute, and that TFDS looks for in its manual_dir.
MANUAL_FILES = {
  'imagenet2012': ('ILSVRC2012_img_train.tar', 'ILSVRC2012_img_val.tar')
}


@dataclasses.dataclass(frozen=True)
class Description:
  """A data set as its metadata tell.

  Attributes:
    sizes: number of examples of 'train', 'validation' and 'test'.
    image_shape: (height, width, channels).
    num_classes: number of labels; of a regression, of its outputs.
    is_regression: whether labels are float32 [examples, outputs].
  """

  sizes: dict[str, int]
  image_shape: tuple[int, int, int]
  num_classes: int
  is_regression: bool = False


def is_streamed(name: str) -> bool:
  """Whether a data set is streamed from disk; False for unknown names."""
  return name.split('/')[0] in STREAMED


def check_name(name: str, *, streamed: bool | None = None) -> bool:
  """Whether a data set stays on disk.

  A streamed set also takes NAME/CONFIG and NAME/VERSION, as TFDS has them
  ('imagenette/160px-v2').

  Raises:
    errors.ConfigError: an unknown name, or not `streamed` as that says.
  """
  base = name.split('/')[0]
  if embedded.find(name) is None:
    known = base if base in STREAMED else name
    registry.lookup('data set', known, DATASETS)
  if streamed is not None and (base in STREAMED) != streamed:
    known = [n for n in DATASETS if (n in STREAMED) == streamed]
    raise errors.ConfigError(
      f'data set {name!r} is {"not " if streamed else ""}streamed from disk; '
      f'allowed here are: {", ".join(known)}'
    )
  return base in STREAMED


def describe(
  name: str, data_dir: str | None = None, image_size: int | None = None
) -> Description:
  """Sizes and shapes of a data set; reads its metadata, writes nothing.

  `image_size` is the height and width of a streamed set; None is 224 pixels.

  Raises:
    errors.ConfigError: an unknown name, or a data set that is not prepared;
      says the command that prepares it.
  """
  streamed = check_name(name)
  if own := embedded.find(name):
    return Description(
      dict(own.sizes), own.image_shape, own.num_classes, own.is_regression
    )
  info = prepared_builder(BINARY.get(name, name), data_dir).info
  sizes = {
    split: info.splits[part].num_examples
    for split, part in slices(name, info).items()
  }
  shape = tuple(info.features['image'].shape)
  if streamed:
    shape = (image_size or images.SIZE,) * 2 + (3,)
  classes = info.features['label'].num_classes
  return Description(sizes, shape, classes)


def slices(name: str, info: tfds.core.DatasetInfo) -> dict[str, str]:
  """Our splits in TFDS's notation ('train[:100]'); they never overlap."""
  if not check_name(name):
    return SLICES_WITHOUT_VALIDATION
  share = STREAMED[name.split('/')[0]]
  held_out = max(1, round(share * info.splits['train'].num_examples))
  return {
    'train': f'train[:-{held_out}]',
    'validation': f'train[-{held_out}:]',
    'test': 'validation',
  }


def pixel_statistics_of(name: str) -> Standardizer:
  """The usual mean and deviation of a streamed set, without reading it.

  Raises:
    errors.ConfigError: not a streamed set.
  """
  check_name(name, streamed=True)
  return Standardizer(np.float32(IMAGENET_MEAN), np.float32(IMAGENET_STD))


# One data set stays in memory: the runs of a sweep mostly share it.
@functools.lru_cache(maxsize=1)
def load(name: str, data_dir: str | None = None) -> dict[str, Examples]:
  """Reads a data set: 'train', 'validation' and 'test', which never overlap.

  An embedded set has a module of its own, `sets.digits`. TFDS has no validation
  split of the others: the last 5,000 training examples.

  Raises:
    errors.ConfigError: as `describe`; a streamed set; damaged examples.
  """
  check_name(name, streamed=False)
  if own := embedded.find(name):
    is_ours = name in EMBEDDED
    splits = own.splits() if is_ours else embedded.checked_splits(name, own)
    return {split: Examples(*arrays) for split, arrays in splits.items()}
  builder = prepared_builder(BINARY.get(name, name), data_dir)
  parts = slices(name, builder.info)
  seen = binary if name in BINARY else lambda examples: examples
  try:
    return {split: seen(read(builder, part)) for split, part in parts.items()}
  except Exception as error:  # array_record and TFDS raise what they like.
    problem = errors.one_line(str(error)) or type(error).__name__
    raise unreadable(name, data_dir, builder.data_path, problem) from error


def read(builder: tfds.core.DatasetBuilder, split: str) -> Examples:
  """Reads one split, in TFDS's own notation ('train[:100]')."""
  with quiet():
    source = builder.as_data_source(split=split)
    # Asking for all rows at once is twice as fast as one after another.
    examples = source.__getitems__(range(len(source)))
  images = np.stack([example['image'] for example in examples])
  labels = np.array([example['label'] for example in examples], np.int32)
  return Examples(images, labels)


def binary(examples: Examples) -> Examples:
  """The same in black and white: a grey of 128 and more is white.

  1502.03167 has "a binary image" (section 4.1), and does not say how it was
  made.
  """
  white = np.uint8(255) * (examples.images >= 128)
  return examples._replace(images=white)


def prepare(name: str, data_dir: str | None = None) -> str:
  """Downloads a data set and writes it as array_record; returns where it is.

  Raises:
    errors.ConfigError: an unknown name, a folder that cannot be written
      or holds a damaged copy, TensorFlow is missing, with which TFDS
      unpacks the downloads, or files that must be downloaded by hand.
  """
  check_name(name)
  name = BINARY.get(name, name)
  if embedded.find(name):
    return str(digits.file())  # Embedded: there is nothing to do.
  folder = folder_of(data_dir)
  if find(name, folder):
    return str(prepared_builder(name, data_dir).data_path)
  if importlib.util.find_spec('tensorflow') is None:
    raise errors.ConfigError(
      f'preparing {name!r} needs the prepare extra, once: pip install -e '
      "'.[prepare]' (reading what is prepared does not)"
    )
  check_manual_files(name, folder)
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise errors.ConfigError(
      f'data_dir {str(folder)!r} cannot be written: {error.strerror}'
    ) from error
  with own_temporary_folder():
    builder = tfds.builder(
      name, data_dir=str(folder), file_format='array_record'
    )
  if builder.data_path.exists():
    # TFDS would take it for prepared.
    raise unreadable(
      name, data_dir, builder.data_path, 'dataset_info.json is missing'
    )
  builder.download_and_prepare()
  return str(builder.data_path)


def check_manual_files(name: str, folder: pathlib.Path) -> None:
  """Files that must be downloaded by hand are where TFDS looks for them.

  Raises:
    errors.ConfigError: some are missing.
  """
  manual_dir = folder / 'downloads' / 'manual'
  missing = [
    file
    for file in MANUAL_FILES.get(name.split('/')[0], ())
    if not (manual_dir / file).exists()
  ]
  if missing:
    raise errors.ConfigError(
      f'preparing {name!r} needs {" and ".join(missing)} in '
      f"{str(manual_dir)!r} (TFDS's manual_dir): download them from "
      'https://image-net.org, by hand'
    )
