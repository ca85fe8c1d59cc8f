"""Trains many runs: in processes of one CPU core each, or one after another.

A small network does not fill two cores, so two runs beside each other end in
little more than half the time of one after the other. On an accelerator the
runs go one after another, in this process.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import queue
from collections.abc import Callable, Iterator, Mapping

import jax
import ml_collections

from normlab import progress, records, trainer, validation
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
    found[path].check_usable(config)
    validation.check(config)
  waiting = {
    path: config
    for path, config in configs.items()
    if not found[path].is_finished
  }
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

  for path, config in waiting.items():
    yield path, _train(config, path, Polling())


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
    processes, mp_context=context, initializer=_pin, initargs=(cores,)
  )
  with pool:
    futures = {
      pool.submit(_train, config, path): path
      for path, config in waiting.items()
    }
    while futures:
      done, _ = concurrent.futures.wait(
        futures, 0.5, concurrent.futures.FIRST_COMPLETED
      )
      poll()
      for future in done:
        # This raises where a worker died; a run that failed is a result.
        yield futures.pop(future), future.result()


def _pin(cores: multiprocessing.Queue) -> None:
  """Keeps this worker to one core, before JAX starts its threads."""
  with contextlib.suppress(queue.Empty):
    core = cores.get(timeout=10)
    if hasattr(os, 'sched_setaffinity'):
      os.sched_setaffinity(0, {core})


def _train(
  config: ml_collections.ConfigDict,
  path: str,
  display: progress.Progress | None = None,
) -> str | None:
  """Trains a run; returns what went wrong, in one line, or None."""
  try:
    trainer.train(config, path, progress=lambda _: display or progress.Silent())
  except Exception as error:
    return ' '.join(repr(error).split())
  return None
