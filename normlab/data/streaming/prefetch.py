"""Computes the elements of a grain pipeline ahead, in threads or processes."""

import contextlib
import functools
import gc
import itertools
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from typing import Any

import grain
from absl import flags

from normlab.runtime import machine

# Elements of a worker that exist at once: one it computes, one it has passed
# on, one that waits in this process, one that is used.
ELEMENTS_A_WORKER = 4
SHARED_MEMORY = '/dev/shm'
# Not public; looked up so that it may go.
POOL = '_del_thread_pool'


class Prefetch:
  """The elements of a pipeline, in its order, computed ahead.

  Threads are enough for a few cores: Pillow decodes and resizes without
  Python's lock. Workers are new processes, which import what they need for two
  or three seconds; they cannot use an accelerator, leave signals to this
  process, and end with it even where it is killed.

  Attributes:
    close: ends threads and workers; runs by itself when this object or the
      process ends.
  """

  def __init__(
    self,
    build: Callable[[str], grain.MapDataset],
    *,
    workers: int | None,
    element_bytes: int,
  ):
    """Starts computing.

    Args:
      build: makes the pipeline, of arrays or tuples of arrays. It is given the
        path of a file, and what it makes should fail once that file is gone.
      workers: number of processes; 0 is threads of this one, None is one per
        core that it may use.
      element_bytes: size of one element.
    """
    mark = _make_mark()
    pipeline = build(mark)
    workers = len(machine.usable_cores()) if workers is None else workers
    workers = min(workers, len(pipeline))
    # Worker i of n computes elements i, i + n, ...
    if workers:
      in_memory = fits_shared_memory(
        ELEMENTS_A_WORKER * workers * element_bytes
      )
      shares = [
        _in_process(pipeline[i::workers], mark, in_memory)
        for i in range(workers)
      ]
    else:
      shares = [_in_threads(pipeline)]
    with _signals_blocked(), _flags_readable():
      self._shares = [iter(share) for share in shares]
      for share in self._shares:
        share.get_state()  # Makes the iterator in it, which starting skips.
        share.start_prefetch()
    self._turns = itertools.cycle(self._shares)
    self.close = weakref.finalize(self, _close, mark, self._shares)

  def __iter__(self) -> Iterator[Any]:
    """Itself."""
    return self

  def __next__(self) -> Any:
    """The next element; raises RuntimeError if a worker died."""
    return next(next(self._turns))


def _in_threads(pipeline: grain.MapDataset) -> grain.IterDataset:
  cores = len(machine.usable_cores())
  return pipeline.to_iter_dataset(
    grain.ReadOptions(num_threads=cores, prefetch_buffer_size=max(2, cores))
  )


def _in_process(
  pipeline: grain.MapDataset, mark: str, in_memory: bool
) -> grain.IterDataset:
  elements = pipeline.to_iter_dataset(
    grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
  )
  if not in_memory:  # Through a pipe then, which costs two copies more.
    elements = grain.experimental.WithOptionsIterDataset(
      elements, grain.experimental.DatasetOptions(min_shm_size=sys.maxsize)
    )
  return elements.mp_prefetch(
    grain.MultiprocessingOptions(num_workers=1, per_worker_buffer_size=1),
    worker_init_fn=functools.partial(_start_worker, mark),
  )


def fits_shared_memory(size: int) -> bool:
  """Whether there is room; a container has 64 MB unless more is asked for."""
  try:
    return shutil.disk_usage(SHARED_MEMORY).free > size
  except OSError:  # Not Linux.
    return True


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
  """Threads and processes that start in here inherit the block.

  Ctrl-C and a cluster's SIGTERM reach the whole group of processes; only the
  main one is to answer, and it needs no dying workers while it does.
  """
  # It would start in here, and lift the block of the thread that starts it.
  resource_tracker.ensure_running()
  stops = {signal.SIGINT, signal.SIGTERM}
  before = signal.pthread_sigmask(signal.SIG_BLOCK, stops)
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _flags_readable() -> Iterator[None]:
  """grain reads a flag of its own, also in programs that parse none."""
  if flags.FLAGS.is_parsed():
    yield
    return
  flags.FLAGS.mark_as_parsed()
  try:
    yield
  finally:
    flags.FLAGS.unparse_flags()


def _start_worker(mark: str, index: int, count: int) -> None:
  """Runs first in each worker."""
  del index, count
  import jax  # grain imports it anyway.

  jax.config.update('jax_platforms', 'cpu')
  threading.Thread(target=_follow_parent, args=(mark,), daemon=True).start()


def _follow_parent(mark: str) -> None:
  """Ends this worker once its parent is gone: a killed parent cannot."""
  multiprocessing.parent_process().join()
  # Stops the pipeline, and lets it finish an array: one that is made but not
  # registered yet would stay in shared memory for ever.
  _remove(mark)
  time.sleep(1)
  os._exit(1)


def _make_mark() -> str:
  """A file that is there while a pipeline runs; its source looks for it."""
  descriptor, path = tempfile.mkstemp(prefix='normlab_stream_')
  os.close(descriptor)
  return path


def _close(mark: str, shares: list[grain.DatasetIterator]) -> None:
  _remove(mark)
  # Each waits for its worker: all at once.
  threads = [threading.Thread(target=share.close) for share in shares]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  # Shared memory that the end of the process finds would be freed then, with a
  # warning of a leak: an error keeps its last element in a cycle, and grain
  # frees from a thread that nobody waits for.
  gc.collect()
  freeing = getattr(grain.multiprocessing.SharedMemoryArray, POOL, None)
  if freeing is not None:
    with contextlib.suppress(ValueError):  # It has ended already.
      freeing.apply(int)


def _remove(path: str) -> None:
  with contextlib.suppress(OSError):
    os.remove(path)
