"""Examples of a streamed set by number, undecoded: a source for grain."""

import dataclasses
import os
from typing import NamedTuple

import tensorflow_datasets as tfds

from normlab import errors, registry
from normlab.data.sets import prepared, sources


class Example(NamedTuple):
  """A stored example: a JPEG or PNG file, its label, its row in the split."""

  data: bytes
  label: int
  row: int


class ExampleSource:
  """The examples of one split, in the order in which they are stored."""

  def __init__(self, name: str, data_dir: str | None, split: str):
    """Finds the files; each is opened when it is first read from.

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
    """Reads one example; raises errors.ConfigError if it cannot be read."""
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


@dataclasses.dataclass(frozen=True)
class WhileOpen:
  """A source that fails once the file `mark` is gone.

  So that threads and processes stop between two images, not between two
  batches, which takes seconds.
  """

  source: ExampleSource
  mark: str

  def __len__(self) -> int:
    """Number of examples."""
    return len(self.source)

  def __getitem__(self, row: int) -> Example:
    """Reads one example; raises ClosedError if the file is gone."""
    if not os.path.exists(self.mark):
      raise ClosedError
    return self.source[row]
