"""Trains many runs: in processes of one CPU core each, or one after another.

A small network does not fill two cores: a step of the small Inception on the
digits takes 4.2 ms on one and 3.5 ms on two, so two runs beside each other end
in six tenths of the time of one after the other. On an accelerator the runs go
one after another, in this process.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool

import jax
import ml_collections

from normlab import progress, records, trainer, validation
from normlab.interruption import Interrupted
from normlab.sweeps.display import Display


def train_all(
  configs: Mapping[str, ml_collections.ConfigDict],
  *,
  processes: int | None = None,
) -> dict[str, records.Record]:
  """Trains every run that has no result yet, each in its own folder.

  All configs are checked before the first run starts. A run that fails does
  not stop the others: its record says why.

  Args:
    configs: run folder to config.
    processes: runs beside each other; None is one a CPU core, and one at all
      where JAX has an accelerator.

  Returns:
    Run folder to record, in the order of `configs`.

  Raises:
    names.ConfigError, records.RecordError: a config or a folder that cannot be
      used; nothing is written.
  """
  found = {path: records.Record(path) for path in configs}
  for path, config in configs.items():
    validation.check_complete(config)
    found[path].check_usable(config)
  waiting = {
    path: config
    for path, config in configs.items()
    if not found[path].is_finished
  }
  for config in waiting.values():
    validation.check(config)
  if not waiting:
    return found
  for path in waiting:
    found[path].create()
  processes = min(processes or default_processes(), len(waiting))
  lengths = {path: config.total_steps for path, config in waiting.items()}
  with contextlib.closing(
    Display(lengths, finished=len(configs) - len(waiting))
  ) as display:
    train = _train_one_by_one if processes == 1 else _train_in_pool
    for path, problem in train(waiting, processes, display.poll):
      display.ended(path, problem)
  return found


def default_processes() -> int:
  """One a usable core on CPU; one where there is an accelerator."""
  return len(usable_cores()) if jax.default_backend() == 'cpu' else 1


def usable_cores() -> list[int]:
  """The CPU cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))


def _train_one_by_one(
  waiting: Mapping[str, ml_collections.ConfigDict],
  processes: int,
  poll: Callable[[], None],
) -> Iterator[tuple[str, str | None]]:
  del processes

  class Polling(progress.Silent):
    def step(self, step: int, values: Mapping[str, float]) -> None:
      poll()

  with _noted_interrupt() as interrupt:
    for path, config in waiting.items():
      try:
        yield path, _train(config, path, Polling(), interrupt.is_set)
      except Interrupted as error:
        raise KeyboardInterrupt from error


def _train_in_pool(
  waiting: Mapping[str, ml_collections.ConfigDict],
  processes: int,
  poll: Callable[[], None],
) -> Iterator[tuple[str, str | None]]:
  # JAX has threads, and forking a process with threads can hang it.
  context = multiprocessing.get_context('spawn')
  cores = context.Queue()
  for core in (usable_cores() * processes)[:processes]:
    cores.put(core)
  pool = concurrent.futures.ProcessPoolExecutor(
    processes, mp_context=context, initializer=_start_worker, initargs=(cores,)
  )
  with _stopping(pool), _noted_interrupt() as interrupt:
    futures = {
      pool.submit(_train_in_worker, config, path): path
      for path, config in waiting.items()
    }
    while futures:
      done, _ = concurrent.futures.wait(
        futures, 0.5, concurrent.futures.FIRST_COMPLETED
      )
      if interrupt.is_set():
        raise KeyboardInterrupt
      poll()
      for future in done:
        yield futures.pop(future), _result(future)


def _result(future: concurrent.futures.Future) -> str | None:
  """What `_train` returned.

  Raises:
    RecordError: the worker died, which no run can catch.
  """
  try:
    return future.result()
  except BrokenProcessPool as error:
    raise records.RecordError(
      'a worker process died, for want of memory perhaps; with fewer '
      '--processes, start again: finished runs are kept'
    ) from error


@contextlib.contextmanager
def _stopping(pool: concurrent.futures.ProcessPoolExecutor) -> Iterator[None]:
  """Ends the workers with the block, at once if it is left by an exception."""
  try:
    yield
  except BaseException:
    pool.shutdown(wait=False, cancel_futures=True)
    workers = multiprocessing.active_children()
    for worker in workers:
      worker.terminate()
    deadline = time.monotonic() + 5
    for worker in workers:
      worker.join(timeout=max(0, deadline - time.monotonic()))
      worker.kill()  # It is compiling, perhaps; nothing if it has ended.
    raise
  pool.shutdown()


@contextlib.contextmanager
def _noted_interrupt() -> Iterator[threading.Event]:
  """Notes the first Ctrl-C instead of raising it wherever it happens to arrive.

  Python drops an exception that is raised in a callback of its garbage
  collector, and JAX has one: the sweep would go on. The second one raises.
  """
  noted = threading.Event()
  if threading.current_thread() is not threading.main_thread():
    yield noted  # Only the main thread may set handlers, and gets signals.
    return

  def note(*_: object) -> None:
    noted.set()
    signal.signal(signal.SIGINT, signal.default_int_handler)

  before = signal.signal(signal.SIGINT, note)
  try:
    yield noted
  finally:
    signal.signal(signal.SIGINT, before)


def _start_worker(cores: multiprocessing.Queue) -> None:
  """Keeps this worker to one core, and makes it end with its parent.

  Ctrl-C reaches all processes of a terminal, but it is the parent who decides:
  it terminates the workers, which stop between two steps and save their runs.
  """
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  signal.signal(signal.SIGTERM, lambda *_: _terminated.set())
  threading.Thread(target=_end_with_parent, daemon=True).start()
  # Before JAX starts its threads.
  with contextlib.suppress(queue.Empty):
    core = cores.get(timeout=10)
    if hasattr(os, 'sched_setaffinity'):
      os.sched_setaffinity(0, {core})


# Of this process, if it is a worker.
_terminated = threading.Event()


def _end_with_parent() -> None:
  multiprocessing.parent_process().join()
  os._exit(1)


def _train_in_worker(
  config: ml_collections.ConfigDict, path: str
) -> str | None:
  try:
    return _train(config, path, progress.Silent(), _terminated.is_set)
  except Interrupted:
    os._exit(1)  # Its state is saved; no more runs are taken from the queue.


def _train(
  config: ml_collections.ConfigDict,
  path: str,
  display: progress.Progress,
  stop: Callable[[], bool],
) -> str | None:
  """Trains a run; returns what went wrong, in one line, or None.

  Raises:
    Interrupted: as `stop` said so; the state is saved.
  """
  try:
    trainer.train(config, path, progress=lambda _: display, stop=stop)
  except Interrupted:
    raise
  except Exception as error:
    return ' '.join(repr(error).split())
  return None
