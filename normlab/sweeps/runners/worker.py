"""A process that trains one run after another, for `processes`."""

import contextlib
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import ml_collections

from normlab.runtime.interruption import Interrupted
from normlab.sweeps.runners.alone import train_run
from normlab.sweeps.runners.interface import Ended


class Share(NamedTuple):
  """The part of the machine that a process may use.

  Attributes:
    cores: CPU cores; empty is all.
    gpu: its name in CUDA_VISIBLE_DEVICES; None is no restriction.
  """

  cores: tuple[int, ...] = ()
  gpu: str | None = None


class Worker:
  """A process as its parent sees it; started with its first run.

  Attributes:
    path: folder of the run that it trains; None where it waits for one.
    connection: ready when that run has ended, or the process has.
  """

  def __init__(self, share: Share):
    """Starts nothing yet."""
    self.path: str | None = None
    self.connection: Connection | None = None
    self._share = share
    self._process: Any = None

  def give(self, path: str, config: ml_collections.ConfigDict) -> None:
    """Lets the process train a run."""
    if self._process is None:
      self._start()
    self.path = path
    with contextlib.suppress(OSError):  # It has died: `take` says so.
      self.connection.send((config, path))

  def has_ended(self) -> bool:
    """Whether the run that was given has ended."""
    return self.path is not None and self.connection.poll()

  def take(self) -> Ended:
    """How the run has ended; the process is ready for another."""
    path, self.path = self.path, None
    try:
      return Ended(path, self.connection.recv())
    except (EOFError, OSError):
      return Ended(path, self._death())

  def end(self) -> None:
    """Tells the process to end, and to save a run that it trains."""
    if self._process is None:
      return
    if self.path is not None:
      self._process.terminate()
    else:
      with contextlib.suppress(OSError):
        self.connection.send(None)

  def join(self, seconds: float) -> None:
    """Waits for the end, and enforces it then."""
    if self._process is not None:
      self._process.join(timeout=max(0, seconds))
      self._process.kill()  # It is compiling, perhaps; nothing if it has ended.
      self._process.join()
      self._forget()

  def _start(self) -> None:
    # JAX has threads, and forking a process with threads can hang it.
    context = multiprocessing.get_context('spawn')
    self.connection, theirs = context.Pipe()
    self._process = context.Process(target=serve, args=(theirs, self._share))
    self._process.start()
    theirs.close()  # So that the process' end is the end of the connection.

  def _death(self) -> str:
    self._process.join()
    problem = death(self._process.exitcode)
    self._forget()
    return problem

  def _forget(self) -> None:
    self.connection.close()
    self._process = self.connection = None


def death(exit_code: int) -> str:
  """Why a process has ended that trained a run, in words."""
  if exit_code >= 0:
    return f'its process ended with status {exit_code}'
  try:
    name = signal.Signals(-exit_code).name
  except ValueError:
    name = f'signal {-exit_code}'
  memory = ', for want of memory perhaps' if name == 'SIGKILL' else ''
  return f'its process was ended by {name}{memory}'


def serve(pipe: Connection, share: Share) -> None:
  """Trains the runs that come through the pipe, in a process of its own."""
  told = threading.Event()
  # Ctrl-C reaches all processes of a terminal; the parent decides.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  signal.signal(signal.SIGTERM, lambda *_: told.set())
  threading.Thread(target=end_with_parent, daemon=True).start()
  take_share(share)
  with contextlib.suppress(EOFError, Interrupted):
    while (task := pipe.recv()) is not None:
      pipe.send(train_run(*task, told.is_set))


def take_share(share: Share) -> None:
  """Keeps this process to its share, before JAX starts its threads."""
  if share.cores and hasattr(os, 'sched_setaffinity'):
    os.sched_setaffinity(0, share.cores)
  if share.gpu is not None:
    os.environ['CUDA_VISIBLE_DEVICES'] = share.gpu


def end_with_parent() -> None:
  """Ends this process when its parent has ended, however that was."""
  multiprocessing.parent_process().join()
  os._exit(1)
