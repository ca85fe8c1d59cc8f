"""Pipelines of grain: the batches of one process, by their numbers.

Elements are named tuples of NumPy arrays. A pipeline fails once the file
`mark` is gone (`examples.WhileOpen`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import grain
import numpy as np

from normlab import errors
from normlab.data.pixels import Examples
from normlab.data.streaming.decoding import Augment, Centre
from normlab.data.streaming.examples import ExampleSource, WhileOpen


class ProcessShare(NamedTuple):
  """Part `index` of each batch, of `count` parts with `size` examples each."""

  size: int
  index: int
  count: int


def share_of(batch_size: int, index: int, count: int) -> ProcessShare:
  """The part that process `index` of `count` gets.

  Raises:
    errors.ConfigError: a batch that they cannot share.
  """
  if batch_size < 1 or batch_size % count:
    raise errors.ConfigError(
      f'batch_size={batch_size} is not allowed: the number of processes that '
      f'share it is {count}; must be a multiple of {count}, at least {count}'
    )
  return ProcessShare(batch_size // count, index, count)


def training(
  augment: Augment,
  mark: str,
  *,
  batch_size: int,
  share: ProcessShare,
  seed: int,
  first: int,
) -> grain.MapDataset:
  """Endless training batches of one process: [share.size].

  The seed is that of order and augmentation, `batch_size` that of all processes
  together, `first` the number of the first batch, from 0.
  """
  source = WhileOpen(augment.examples, mark)
  usable = len(source) // batch_size * batch_size
  # grain adds the epoch to the seed: without this, seed 1 would begin with the
  # second epoch of seed 0.
  order, augmentation = np.random.SeedSequence(seed).generate_state(2)
  return (
    grain.MapDataset.source(source)
    .shuffle(int(order))[:usable]
    # By the position over all epochs; parts make up batches in their order.
    .random_map(augment, seed=int(augmentation))
    .batch(share.size, batch_fn=_stack)[share.index :: share.count]
    .repeat()[first:]
  )


def evaluation(
  examples: ExampleSource, count: int, size: int, share: ProcessShare, mark: str
) -> grain.MapDataset:
  """Batches in order, with bool [share.size], False for the filling at the end.

  Takes the first `count` examples as images of `size` pixels squared.
  """
  whole = share.size * share.count
  centre = Centre(WhileOpen(examples, mark), examples, size, count)
  return (
    grain.MapDataset.range(-(-count // whole) * whole)
    .map(centre)
    .batch(share.size, batch_fn=_stack_valid)[share.index :: share.count]
  )


def _stack(examples: Sequence[tuple[np.ndarray, int]]) -> Examples:
  rows, labels = zip(*examples, strict=True)
  return Examples(np.stack(rows), np.array(labels, np.int32))


def _stack_valid(
  examples: Sequence[tuple[np.ndarray, int, bool]],
) -> tuple[Examples, np.ndarray]:
  rows, labels, valid = zip(*examples, strict=True)
  return _stack(list(zip(rows, labels, strict=True))), np.array(valid)
