"""Examples of a data set that is read from disk while a run trains."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from normlab import data
from normlab.data.pixels import Examples
from normlab.runtime import devices


class Streamed(NamedTuple):
  """Inputs of a call, read for it: [steps, batch, ...] on all devices."""

  batches: Examples

  def batch(self, i: int | jax.Array) -> Examples:
    """The i-th batch of the call."""
    return self.batches.take(i)


class StreamFeed:
  """A data set that is read from disk while the run trains."""

  def __init__(self, config: ml_collections.ConfigDict, mesh: Mesh):
    """Opens the stream of training batches; reads nothing yet."""
    self.standardizer = data.pixel_statistics_of(config.data.name)
    self._mesh = mesh
    self._section = section = config.data
    self._read = {
      'name': section.name,
      'data_dir': section.data_dir,
      'image_size': section.image_size,
      'workers': section.workers,
      'process_index': jax.process_index(),
      'process_count': jax.process_count(),
    }
    self._train = data.TrainStream(
      **self._read,
      batch_size=config.batch_size,
      min_crop_area=section.min_crop_area,
      random_flip=section.random_flip,
      seed=config.seed,
    )
    # A batch that was read before its step, and the state before that.
    self._held: tuple[dict[str, Any], Examples] | None = None

  def inputs(self, first: int, count: int) -> Streamed:
    """The next `count` batches."""
    del first  # The stream knows where it is.
    batches = [self._next() for _ in range(count)]
    stacked = jax.tree.map(lambda *parts: np.stack(parts), *batches)
    return Streamed(devices.shard(stacked, self._mesh, axis=1))

  def _next(self) -> Examples:
    held, self._held = self._held, None
    return next(self._train) if held is None else held[1]

  def upcoming(self, step: int) -> Examples:
    """The batch of the coming step, as it was read; the stream keeps it."""
    del step
    if self._held is None:
      state = self._train.get_state()
      self._held = state, next(self._train)
    return devices.shard(self._held[1], self._mesh)

  @property
  def image_shape(self) -> tuple[int, ...]:
    """[height, width, channels]."""
    section = self._section
    return data.describe(
      section.name, section.data_dir, section.image_size
    ).image_shape

  def eval_batches(
    self, split: str, batch_size: int, **limit: int
  ) -> Iterator[tuple[Examples, jax.Array]]:
    """Every example of a split once, and which of a batch are to be counted."""
    size = devices.whole_shards(batch_size, self._mesh)
    for batch, valid in data.eval_batches(
      split=split, batch_size=size, **self._read, **limit
    ):
      yield devices.shard((Examples(*batch), valid), self._mesh)

  def training_batches(self, count: int, batch_size: int) -> Iterator[Examples]:
    """The first `count` training examples, not augmented, in whole batches."""
    size = devices.whole_shards(min(batch_size, count), self._mesh)
    limit = max(1, count // size) * size
    for batch, valid in self.eval_batches('train', size, limit=limit):
      if valid.all():  # The split may have fewer examples.
        yield batch

  def state(self) -> dict[str, Any]:
    """Where the stream is: of the next batch that is not given yet."""
    return self._train.get_state() if self._held is None else self._held[0]

  def restore(self, state: dict[str, Any]) -> None:
    """Continues after the batches that were given at `state`."""
    self._held = None
    self._train.set_state(state)

  def start(self) -> None:
    """Begins to read, in the background."""
    self._train.start()

  def close(self) -> None:
    """Ends the workers."""
    self._train.close()
