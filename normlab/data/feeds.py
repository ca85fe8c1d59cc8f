"""Feeds: the examples of a run, from the devices' memory or streamed.

Both feeds have the same methods; the data set decides which one a run has.
`inputs` are those of a compiled call (`training_step.Inputs`).
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from flax import struct
from jax.sharding import Mesh, NamedSharding

from normlab import data
from normlab.data import Examples
from normlab.runtime import devices


class Resident(struct.PyTreeNode):
  """Inputs of a call, out of a split that all devices hold.

  Attributes:
    split: all training examples.
    orders: int32 [epochs, examples], of the epochs of this call.
    first: first step of the call, from 0.
    batch_size: examples per step.
    sharding: of a batch; None on one device.
  """

  split: Examples
  orders: jax.Array
  first: np.ndarray
  batch_size: int = struct.field(pytree_node=False)
  sharding: NamedSharding | None = struct.field(pytree_node=False)

  def batch(self, i: int | jax.Array) -> Examples:
    """The i-th batch of the call."""
    rows = data.rows_of_step(
      self.orders, self.first, self.first + i, self.batch_size
    )
    if self.sharding is not None:
      rows = jax.lax.with_sharding_constraint(rows, self.sharding)
    return self.split.take(rows)


class Streamed(NamedTuple):
  """Inputs of a call, read for it: [steps, batch, ...] on all devices."""

  batches: Examples

  def batch(self, i: int | jax.Array) -> Examples:
    """The i-th batch of the call."""
    return self.batches.take(i)


class MemoryFeed:
  """A data set that fits the devices, shuffled on them: nothing to restore."""

  def __init__(
    self,
    splits: dict[str, Examples],
    key: jax.Array,
    batch_size: int,
    mesh: Mesh,
  ):
    """Moves the splits, 'train' and others, to the devices of the mesh.

    The key is that of the order of the training examples.
    """
    self.standardizer = data.pixel_statistics(splits['train'].images)
    self._mesh = mesh
    self._batch_size = batch_size
    self._sharding = devices.sharded(mesh) if mesh.size > 1 else None
    self._splits = devices.replicate(splits, mesh)
    self._shuffled = self._order_of(key)

  def reordered(self, key: jax.Array) -> 'MemoryFeed':
    """The same examples in memory, in the order of another key.

    Keys [members] of several runs stack their orders.
    """
    other = copy.copy(self)
    other._shuffled = self._order_of(key)
    return other

  def on_mesh(self, mesh: Mesh) -> 'MemoryFeed':
    """The same examples for runs on other devices, without their batches."""
    other = copy.copy(self)
    other._mesh, other._sharding = mesh, None
    other._splits = devices.replicate(self._splits, mesh)
    return other

  def _order_of(self, key: jax.Array) -> data.Shuffled:
    number = len(self._splits['train'].labels)
    return data.Shuffled(key, number, self._batch_size)

  def inputs(self, first: int, count: int) -> Resident:
    """The examples of `count` steps from `first` (0)."""
    return Resident(
      self._splits['train'],
      self._shuffled.orders(first, count),
      np.int32(first),
      batch_size=self._batch_size,
      sharding=self._sharding,
    )

  def upcoming(self, step: int) -> Examples:
    """The batch of a step (from 0), not augmented."""
    return self.inputs(step, 1).batch(0)

  @property
  def image_shape(self) -> tuple[int, ...]:
    """[height, width, channels]."""
    return self._splits['train'].images.shape[1:]

  def eval_batches(
    self, split: str, batch_size: int
  ) -> Iterator[tuple[Examples, jax.Array]]:
    """Every example of a split once, and which of a batch are to be counted."""
    examples = self._splits[split]
    number = len(examples.labels)
    size = devices.whole_shards(min(batch_size, number), self._mesh)
    for rows, valid in data.ordered_rows(number, size):
      own = devices.own_part(rows), devices.own_part(valid)
      rows, valid = devices.shard(own, self._mesh)
      yield _take(examples, rows), valid

  def training_batches(self, count: int, batch_size: int) -> Iterator[Examples]:
    """The first `count` training examples, not augmented.

    As many as the devices can share alike, and at least one each.
    """
    examples = self._splits['train']
    number = len(examples.labels)
    shards = max(1, min(count, number) // self._mesh.size)
    count = shards * self._mesh.size
    size = devices.whole_shards(min(batch_size, count), self._mesh)
    for start in range(0, count, size):
      rows = np.arange(start, min(start + size, count), dtype=np.int32)
      rows %= number  # There may be fewer examples than devices.
      yield _take(examples, devices.shard(devices.own_part(rows), self._mesh))

  def state(self) -> dict[str, Any]:
    """The state for `restore`: empty, as the step determines it."""
    return {}

  def restore(self, state: dict[str, Any]) -> None:
    """Continues after the batches that were given at `state`."""

  def start(self) -> None:
    """Nothing to begin."""

  def close(self) -> None:
    """Nothing to end."""


@jax.jit
def _take(examples: Examples, rows: jax.Array) -> Examples:
  return examples.take(rows)


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

  def inputs(self, first: int, count: int) -> Streamed:
    """The next `count` batches."""
    del first  # The stream knows where it is.
    batches = [next(self._train) for _ in range(count)]
    stacked = jax.tree.map(lambda *parts: np.stack(parts), *batches)
    return Streamed(devices.shard(stacked, self._mesh, axis=1))

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
    return self._train.get_state()

  def restore(self, state: dict[str, Any]) -> None:
    """Continues after the batches that were given at `state`."""
    self._train.set_state(state)

  def start(self) -> None:
    """Begins to read, in the background."""
    self._train.start()

  def close(self) -> None:
    """Ends the workers."""
    self._train.close()


Feed = MemoryFeed | StreamFeed


class Stopped(Exception):
  """An evaluation was asked to stop."""


class Stoppable:
  """A feed whose batches end in `Stopped` once `stop` returns True."""

  def __init__(self, feed: Feed, stop: Callable[[], bool]):
    """Asks `stop` before each batch of the feed."""
    self._feed = feed
    self._stop = stop

  def eval_batches(
    self, split: str, batch_size: int
  ) -> Iterator[tuple[Examples, jax.Array]]:
    """As of the feed."""
    return self._until_stopped(self._feed.eval_batches(split, batch_size))

  def training_batches(self, count: int, batch_size: int) -> Iterator[Examples]:
    """As of the feed."""
    return self._until_stopped(self._feed.training_batches(count, batch_size))

  def _until_stopped(self, batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
      if self._stop():
        raise Stopped
      yield batch
