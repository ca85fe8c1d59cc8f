"""The devices of a run: one mesh; batches are sharded, all else replicated."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from normlab import errors

Tree = TypeVar('Tree')
AXIS = 'batch'


def count(config: ml_collections.ConfigDict) -> int:
  """How many devices share a batch, over all processes.

  `config.num_devices`, or where that is None the most that divide a microbatch;
  each process gives as many as the others.

  Raises:
    errors.ConfigError: not so many devices, or not as many in each process.
  """
  processes, available = jax.process_count(), jax.device_count()
  if config.num_devices is not None:
    if config.num_devices > available or config.num_devices % processes:
      rule = f' in multiples of {processes}' if processes > 1 else ''
      raise errors.ConfigError(
        f'config.num_devices={config.num_devices} is not allowed: must be from '
        f'{processes} to {available}{rule}, the devices there are'
      )
    return config.num_devices
  microbatch = config.batch_size // config.microbatches
  each = available // processes
  fitting = [n for n in range(1, each + 1) if microbatch % (n * processes) == 0]
  return processes * max(fitting, default=1)


def mesh(num_devices: int) -> Mesh:
  """The first devices of each process, in the order of the processes."""
  each = num_devices // jax.process_count()
  chosen = [
    device
    for process in range(jax.process_count())
    for device in jax.devices()
    if device.process_index == process
    and device in jax.local_devices(process)[:each]
  ]
  return Mesh(np.array(chosen), (AXIS,))


def sharded(mesh: Mesh, axis: int = 0) -> NamedSharding:
  """The sharding of a batch: one axis, the first, over all devices."""
  return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
  """The sharding of what every device holds whole."""
  return NamedSharding(mesh, PartitionSpec())


def replicate(tree: Tree, mesh: Mesh) -> Tree:
  """Puts the same arrays, which each process has, on all devices."""
  if jax.process_count() == 1:
    return jax.device_put(tree, replicated(mesh))

  def put(leaf: Any) -> jax.Array:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      return jax.random.wrap_key_data(put(jax.random.key_data(leaf)))
    values = np.asarray(leaf)
    return jax.make_array_from_callback(
      values.shape, replicated(mesh), values.__getitem__
    )

  return jax.tree.map(put, tree)


def shard(tree: Tree, mesh: Mesh, axis: int = 0) -> Tree:
  """Joins each process's part of a batch into one array over all devices."""
  sharding = sharded(mesh, axis)
  if jax.process_count() == 1:
    return jax.device_put(tree, sharding)
  return jax.tree.map(
    lambda leaf: jax.make_array_from_process_local_data(sharding, leaf), tree
  )


def own_part(rows: np.ndarray) -> np.ndarray:
  """The part of a batch's rows that this process's devices hold."""
  each = len(rows) // jax.process_count()
  return rows[jax.process_index() * each :][:each]


def whole_shards(batch_size: int, mesh: Mesh) -> int:
  """The batch size, or the next that all devices can share."""
  return -(-batch_size // mesh.size) * mesh.size


@contextlib.contextmanager
def enough_memory() -> Iterator[None]:
  """A block in which a lack of memory becomes a ConfigError."""
  try:
    yield
  except Exception as error:
    if problem := memory_problem(error):
      raise errors.ConfigError(problem) from error
    raise


def memory_problem(error: Exception) -> str:
  """Advice for an error of exhausted memory; '' for any other error."""
  text, kinds = str(error), (MemoryError, jax.errors.JaxRuntimeError)
  words = 'Out of memory|RESOURCE_EXHAUSTED|Unable to allocate'
  if not isinstance(error, kinds) or not re.search(words, text):
    return ''
  size = re.search(r'allocat\w* (\d+) ?bytes', text)
  amount = f'{int(size[1]) / 2**30:,.1f} GiB' if size else 'what it needs'
  return (
    f'out of memory: {amount} could not be allocated; make the batch size or '
    'the model smaller, or config.microbatches larger'
  )
