"""Examples of a streamed set by number, undecoded: a source for grain."""

import os
from typing import NamedTuple

import tensorflow_datasets as tfds

from normlab import errors, registry
from normlab.data.sets import prepared, sources


class Example(NamedTuple):
  """One example as it is stored.

  Attributes:
    data: a JPEG or PNG file.
    label: the class.
    row: its number in the split.
  """

  data: bytes
  label: int
  row: int


class ExampleSource:
  """The examples of one split, in the order in which they are stored."""

  def __init__(self, name: str, data_dir: str | None, split: str):
    """Finds the files; each is opened when it is first read from.

    Args:
      name: a streamed set of `sources.DATASETS`.
      data_dir: where TFDS prepared it; None is `default_data_dir()`.
      split: 'train', 'validation' or 'test'.

    Raises:
      errors.ConfigError: as `sources.describe`; an unknown split.
    """
    sources.check_name(name, streamed=True)
    builder = prepared.prepared_builder(name, data_dir)
    parts = sources.slices(name, builder.info)
    self._where = f'split {split!r} of data set {name!r}'
    with prepared.quiet():
      self._source = builder.as_data_source(
        registry.lookup('split', split, parts),
        # The image file itself: it is decoded where its crop is known.
        decoders={'image': tfds.decode.SkipDecoding()},
      )

  def __len__(self) -> int:
    """Number of examples."""
    return len(self._source)

  def __getitem__(self, row: int) -> Example:
    """Reads one example.

    Raises:
      errors.ConfigError: it cannot be read.
    """
    try:
      example = self._source[row]
    except Exception as error:  # array_record and TFDS raise what they like.
      raise self.damaged(row, error) from error
    return Example(example['image'], example['label'], row)

  def damaged(self, row: int, error: Exception) -> errors.ConfigError:
    """The error for an example that cannot be read or decoded."""
    reason = ' '.join(str(error).split()) or type(error).__name__
    return errors.ConfigError(
      f'example {row} of {self._where} is damaged: {reason}; prepare the data '
      'set again, in another data_dir'
    )


class ClosedError(Exception):
  """Its stream was closed while an example was asked for."""


class WhileOpen:
  """A source that fails once a file is gone.

  So that threads and processes stop between two images, not between two
  batches, which takes seconds.
  """

  def __init__(self, source: ExampleSource, mark: str):
    """Reads from `source` while the file `mark` is there."""
    self._source = source
    self._mark = mark

  def __len__(self) -> int:
    """Number of examples."""
    return len(self._source)

  def __getitem__(self, row: int) -> Example:
    """Reads one example.

    Raises:
      ClosedError: the file is gone.
    """
    if not os.path.exists(self._mark):
      raise ClosedError
    return self._source[row]
