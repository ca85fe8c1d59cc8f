"""Batches of data sets that stay on disk, through grain.

Order and augmentation are pure functions of the seed and the position. Workers,
threads and processes change only the speed.
"""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from normlab import errors
from normlab.data import images
from normlab.data.pixels import Examples
from normlab.data.streaming import pipelines
from normlab.data.streaming.decoding import Augment
from normlab.data.streaming.examples import ExampleSource
from normlab.data.streaming.prefetch import Prefetch

# Starting workers takes longer than decoding fewer images in threads.
LEAST_FOR_WORKERS = 2_000


class TrainStream:
  """Endless training batches: shuffled, augmented, decoded ahead.

  Each epoch is a permutation of all examples, and another one than the epoch
  before. An epoch has `examples // batch_size` batches; the remaining examples
  are left out, others in each epoch (as in `Shuffled`). Of P processes,
  process p gets the p-th part of each batch: together they see what one sees.

  About four batches a worker are in memory. The workers start with the first
  batch, or with `start`; `close` ends them, and so does the end of the process.
  """

  def __init__(
    self,
    name: str,
    data_dir: str | None,
    *,
    batch_size: int,
    image_size: int | None = None,
    min_crop_area: float | None = None,
    random_flip: bool = True,
    seed: int = 0,
    workers: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
  ):
    """Opens the training split.

    The batch size is that of all processes together, the seed that of order and
    augmentation, from 0. A None image size is 224 pixels, a None smallest share
    of an image that a crop takes 0.08. Workers are processes that decode: 0 is
    threads of this process, None is one per core that it may use.

    Raises:
      errors.ConfigError: as `describe`; a batch that is larger than the split,
        or that the processes cannot share.
    """
    examples = ExampleSource(name, data_dir, 'train')
    share = pipelines.share_of(batch_size, process_index, process_count)
    if batch_size > len(examples):
      raise errors.ConfigError(
        f'batch_size={batch_size} is not allowed: the training split of '
        f'{name!r} has {len(examples)} examples; must be from 1 to '
        f'{len(examples)}'
      )
    augment = Augment(
      examples,
      images.SIZE if image_size is None else image_size,
      images.MIN_CROP_AREA if min_crop_area is None else min_crop_area,
      random_flip,
    )
    self._pipeline = functools.partial(
      pipelines.training, augment, batch_size=batch_size, share=share, seed=seed
    )
    self._element_bytes = _element_bytes(share, augment.size)
    self._workers = workers
    # Besides the position, the order depends on these.
    self._identity = {
      'examples': len(examples),
      'batch_size': batch_size,
      'seed': seed,
    }
    self._next = 0
    self._ahead = None
    self._closed = False

  def start(self) -> None:
    """Begins to compute batches, in the background."""
    if self._closed:
      raise ValueError('the stream is closed')
    if self._ahead is None:
      self._ahead = Prefetch(
        functools.partial(self._pipeline, first=self._next),
        workers=self._workers,
        element_bytes=self._element_bytes,
      )

  def __iter__(self) -> Iterator[Examples]:
    """Itself."""
    return self

  def __next__(self) -> Examples:
    """The next batch, of this process: [batch_size // process_count].

    Raises:
      errors.ConfigError: an example is damaged.
      RuntimeError: a worker died.
      ValueError: the stream is closed.
    """
    self.start()
    batch = _owned(next(self._ahead))
    self._next += 1
    return batch

  def get_state(self) -> dict[str, int]:
    """The state for `set_state` to go on with the next batch; JSON types."""
    return {'next_batch': self._next, **self._identity}

  def set_state(self, state: dict[str, int]) -> None:
    """Goes on where `get_state` was called, with any number of workers.

    Raises:
      errors.ConfigError: the state of a stream of another order.
    """
    identity = {field: state.get(field) for field in self._identity}
    if identity != self._identity:
      raise errors.ConfigError(
        f'the state is of another stream, with {identity}; this one has '
        f'{self._identity}'
      )
    self._stop()
    self._next = state['next_batch']

  def close(self) -> None:
    """Ends threads and workers, in about a second."""
    self._closed = True
    self._stop()

  def _stop(self) -> None:
    if self._ahead is not None:
      self._ahead.close()
      self._ahead = None


def eval_batches(
  name: str,
  data_dir: str | None,
  split: str,
  *,
  batch_size: int,
  image_size: int | None = None,
  workers: int | None = None,
  process_index: int = 0,
  process_count: int = 1,
  limit: int | None = None,
) -> Iterator[tuple[Examples, np.ndarray]]:
  """Covers every example of a split exactly once, in order, not augmented.

  The arguments are those of `TrainStream`, but None workers are threads for
  small splits, and `limit` takes the first examples only. All processes get as
  many batches.

  Yields:
    The batch of this process, [batch_size // process_count], and bool of as
    many: False for the filling of the last batches.

  Raises:
    errors.ConfigError: as `TrainStream`; an unknown split.
  """
  share = pipelines.share_of(batch_size, process_index, process_count)
  examples = ExampleSource(name, data_dir, split)
  count = min(len(examples), limit or len(examples))
  if workers is None and count < LEAST_FOR_WORKERS:
    workers = 0
  size = images.SIZE if image_size is None else image_size
  ahead = Prefetch(
    functools.partial(pipelines.evaluation, examples, count, size, share),
    workers=workers,
    element_bytes=_element_bytes(share, size),
  )
  try:
    for batch, valid in ahead:
      yield _owned(batch), _owned(valid)
  finally:
    ahead.close()


def _element_bytes(share: pipelines.ProcessShare, image_size: int) -> int:
  return share.size * image_size**2 * 3


def _owned(arrays: Any) -> Any:
  """Arrays in memory of their own, out of the one that workers share.

  That one is freed then at a time that we know, not when JAX has let go of it.
  """
  return jax.tree.map(
    lambda array: array if type(array) is np.ndarray else np.array(array),
    arrays,
  )
