"""Trains runs on a Ray cluster: each run a task, with its share of a node.

Results come through the work directory, so it must lie on a file system that
all nodes share, under the same path; normlab must be installed on all of them.
"""

import contextlib
import importlib.util
import math
import os
import pathlib
import signal
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from normlab import errors
from normlab.sweeps.runners.interface import Ended, Runner, Runs, Watch
from normlab.sweeps.runners.ray.ray_nodes import Room, lacking, nodes_at
from normlab.sweeps.runners.ray.ray_task import train_task

# Seconds between two looks at the runs.
POLL_EVERY = 0.5
# Seconds that runs have to save their states; less than the process itself has
# (`interruption.PATIENCE`).
PATIENCE = 6.0
# Nodes or workers that may die under a run before it has failed.
RETRIES = 3
# Passed on to the workers, so that a program is compiled once.
PASSED_ON = (
  'JAX_COMPILATION_CACHE_DIR',
  'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS',
)


class RayCluster(Runner):
  """Runs as tasks on a Ray cluster, of which this machine is a node.

  A run whose worker or node dies is continued elsewhere from its checkpoint.
  The cluster goes on when the runs have ended.
  """

  def __init__(
    self,
    address: str = 'auto',
    *,
    num_cpus: float = 1,
    num_gpus: float = 0,
  ):
    """Connects to nothing yet.

    Args:
      address: 'auto' for the cluster of this machine, or HOST:PORT of the head.
      num_cpus: CPU cores, and threads, of a run.
      num_gpus: GPUs of a run; a part of one is allowed.
    """
    self._address = address
    self._num_cpus, self._num_gpus = num_cpus, num_gpus

  def describe(self) -> str:
    """In words."""
    return 'on the Ray cluster'

  def check(self, runs: Runs) -> None:
    """Makes sure that the cluster answers, and that a node can train a run."""
    options = {'num_cpus': self._num_cpus, 'num_gpus': self._num_gpus}
    for name, amount in options.items():
      # Ray counts parts of one in ten-thousandths.
      if not (0.0001 <= amount < 1 or (amount >= 0 and amount % 1 == 0)):
        raise errors.ConfigError(
          f'--{name}={amount} is not allowed: must be a whole number, or a '
          'part of 1'
        )
    if not self._asked():
      raise errors.ConfigError(
        '--num_cpus=0 is not allowed without --num_gpus: all runs would start '
        'at once'
      )
    if importlib.util.find_spec('ray') is None:
      raise errors.ConfigError(
        "runner 'ray' needs the extra: pip install -e '.[ray]'"
      )
    if problem := lacking(self._asked(), nodes_at(self._address)):
      raise errors.ConfigError(problem)

  def train(self, runs: Runs, watch: Watch) -> Iterator[Ended]:
    """Trains each run; see `interface.Runner`."""
    with self._connected() as ray:
      room = Room(ray, self._asked())
      task = ray.remote(
        num_cpus=self._num_cpus,
        num_gpus=self._num_gpus,
        # Of workers and nodes that die. An exception is the run's own.
        max_retries=RETRIES,
        retry_exceptions=False,
        num_returns='streaming',
      )(train_task)
      tasks = Tasks(ray, task, runs)
      try:
        while tasks.paths:
          yield from tasks.ended(watch)
          watch.poll()
          if watch.stop():
            return
          if problem := room.problem():
            yield from (Ended(path, problem) for path in tasks.paths.values())
            return
      finally:
        tasks.end()

  def _asked(self) -> dict[str, float]:
    """The resources of a run, by Ray's names for them."""
    amounts = {'CPU': self._num_cpus, 'GPU': self._num_gpus}
    return {name: amount for name, amount in amounts.items() if amount}

  def _variables(self) -> dict[str, str]:
    """The environment of the workers; Ray itself shows them their GPUs."""
    found = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    # The code of this process, whichever the environment was made for.
    found['PYTHONPATH'] = str(pathlib.Path(__file__).parents[4])
    # What XLA's CPU client takes for the number of cores.
    found['NPROC'] = str(max(1, math.ceil(self._num_cpus)))
    if not self._num_gpus:
      found['JAX_PLATFORMS'] = 'cpu'  # Or a run might take GPUs of others.
    if 0 < self._num_gpus < 1:
      # JAX takes three quarters of a GPU's memory by default.
      fraction = f'{0.9 * self._num_gpus:.4f}'
      found['XLA_PYTHON_CLIENT_MEM_FRACTION'] = fraction
    return found

  @contextlib.contextmanager
  def _connected(self) -> Iterator[ModuleType]:
    import ray

    handler = signal.getsignal(signal.SIGTERM)
    ray.init(
      address=self._address,
      log_to_driver=False,
      logging_level='ERROR',
      runtime_env={'env_vars': self._variables()},
    )
    if threading.current_thread() is threading.main_thread():
      signal.signal(signal.SIGTERM, handler)  # Which Ray has replaced.
    try:
      yield ray
    finally:
      ray.shutdown()


class Tasks:
  """The runs that have not ended, as tasks.

  Attributes:
    paths: run folder of each task.
  """

  def __init__(self, ray: ModuleType, task: Any, runs: Runs):
    """Hands all runs to the cluster, which starts them as it has room."""
    self._ray = ray
    self._started: set[str] = set()
    self.paths = {
      task.remote(config, os.path.abspath(path)): path
      for path, config in runs.items()
    }

  def ended(self, watch: Watch) -> Iterator[Ended]:
    """The runs that ended while it waited; says which have started."""
    waiting = [*self.paths]
    ready, _ = self._ray.wait(
      waiting, num_returns=len(waiting), timeout=POLL_EVERY, fetch_local=False
    )
    for task in ready:
      path = self.paths[task]
      try:
        problem = self._ray.get(next(task))
      except (self._ray.exceptions.RayError, StopIteration) as error:
        del self.paths[task]
        yield Ended(path, lost(error))
        continue
      if path in self._started:
        del self.paths[task]
        yield Ended(path, problem)
      else:
        self._started.add(path)
        watch.started(path)

  def end(self) -> None:
    """Ends the tasks: they save what they have, in seconds."""
    if not self.paths:
      return
    for task in self.paths:
      self._ray.cancel(task)  # Is a Ctrl-C to it.
    ends = [task.completed() for task in self.paths]
    self._ray.wait(
      ends, num_returns=len(ends), timeout=PATIENCE, fetch_local=False
    )
    for task in self.paths:
      self._ray.cancel(task, force=True)  # Nothing if it has ended.


def lost(error: BaseException) -> str:
  """Why the cluster has no result of a run."""
  cause = getattr(error, 'cause', None)
  if isinstance(cause, Exception):  # In a task, which Ray does not try again.
    return f'failed on the cluster: {errors.summary(cause)}'
  text = errors.summary(error)
  return f'lost on the cluster, {RETRIES} retries included: {text}'
