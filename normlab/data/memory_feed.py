"""Examples of a data set in the devices' memory: which ones make a batch.

`MemoryFeed.inputs` gives the examples of a compiled call, `Resident`, whose
`batch` is called by `compiled_calls.train_steps`. `stream_feed` has the same
for sets on disk.
"""

import copy
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh, NamedSharding

from normlab.data import pixels
from normlab.data.pixels import Examples
from normlab.runtime import devices


@functools.partial(jax.jit, static_argnames='num_examples')
def epoch_order(
  key: jax.Array, epoch: jax.Array, num_examples: int
) -> jax.Array:
  """The order of the examples in one epoch (from 0): a permutation, int32.

  Returns:
    [num_examples]; for keys [members] of several runs [members, num_examples].
  """

  def order(key: jax.Array) -> jax.Array:
    return jax.random.permutation(jax.random.fold_in(key, epoch), num_examples)

  return jax.vmap(order)(key) if key.ndim else order(key)


class Shuffled:
  """The examples of each training step: without replacement in an epoch.

  A pure function of the key and the step, so that there is nothing to store or
  restore. The orders of the newest epochs are kept to avoid sorting at every
  step. An epoch has `num_examples // batch_size` steps; the remaining examples
  are left out, others in each epoch.
  """

  def __init__(self, key: jax.Array, num_examples: int, batch_size: int):
    """Shuffles `num_examples` examples into batches of `batch_size`.

    Keys [members] of several runs stack their orders.
    """
    self.steps_per_epoch = num_examples // batch_size

    @functools.lru_cache(maxsize=2)
    def order(epoch: int) -> jax.Array:
      return epoch_order(key, epoch, num_examples)[..., None, :]

    self._order = order

  def orders(self, first: int, count: int) -> jax.Array:
    """The orders of the epochs that `count` steps from `first` (0) fall in.

    Returns:
      int32 [epochs, examples], of several runs [members, epochs, examples]: a
      number of epochs that depends on `count` alone, so that calls of the same
      length compile once.
    """
    epoch = first // self.steps_per_epoch
    epochs = 1 + -(-(count - 1) // self.steps_per_epoch)
    if epochs == 1:
      return self._order(epoch)
    parts = [self._order(epoch + i) for i in range(epochs)]
    return jnp.concatenate(parts, axis=-2)


def indices_of_step(
  orders: jax.Array, first: jax.Array, step: jax.Array, batch_size: int
) -> jax.Array:
  """The rows of one step, from the orders of its call: int32 [batch_size].

  `orders` are from `Shuffled.orders`, `first` is the first step of the call.
  """
  steps_per_epoch = orders.shape[1] // batch_size
  epoch = step // steps_per_epoch - first // steps_per_epoch
  start = step % steps_per_epoch * batch_size
  return jax.lax.dynamic_slice(orders, (epoch, start), (1, batch_size))[0]


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
    rows = indices_of_step(
      self.orders, self.first, self.first + i, self.batch_size
    )
    if self.sharding is not None:
      rows = jax.lax.with_sharding_constraint(rows, self.sharding)
    return self.split.take(rows)


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
    self.standardizer = pixels.pixel_statistics(splits['train'].images)
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

  def _order_of(self, key: jax.Array) -> Shuffled:
    number = len(self._splits['train'].labels)
    return Shuffled(key, number, self._batch_size)

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
    for rows, valid in ordered_indices(number, size):
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
    """Nothing to restore."""

  def start(self) -> None:
    """Nothing to begin."""

  def close(self) -> None:
    """Nothing to end."""


@jax.jit
def _take(examples: Examples, rows: jax.Array) -> Examples:
  return examples.take(rows)


def ordered_indices(
  num_examples: int, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Covers every example exactly once, in batches of one shape.

  Yields:
    rows: int32 [batch_size]; the last batch is filled up with the first rows,
      so that statistics of a batch are those of real examples.
    valid: bool [batch_size]; False for the filling.
  """
  for start in range(0, num_examples, batch_size):
    rows = np.arange(start, start + batch_size, dtype=np.int32)
    yield rows % num_examples, rows < num_examples
