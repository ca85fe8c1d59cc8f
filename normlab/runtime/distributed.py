"""Several processes that train one run: JAX's own runtime.

Every process runs the same program on its own devices; process 0 alone writes
records. With one process all of this does nothing.
"""

import time
from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

from normlab import errors

# Bytes of the longest text that processes tell each other.
TEXT_LENGTH = 4_096
# Seconds between two rounds in which processes ask if any is to stop.
ASK_EVERY = 1.0


def initialize(
  coordinator: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
) -> None:
  """Joins the processes of a run; before JAX touches a device.

  Args:
    coordinator: 'host:port' of process 0. None, here and below, takes the value
      of the cluster's environment (SLURM, GKE, Cloud TPU, Open MPI).
    num_processes: of the run.
    process_id: of this process, from 0.

  Raises:
    errors.ConfigError: numbers that do not fit, or an environment that says
      nothing.
  """
  if coordinator is not None:
    check_numbers(coordinator, num_processes, process_id)
  jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  try:
    jax.distributed.initialize(coordinator, num_processes, process_id)
  except (ValueError, RuntimeError) as error:
    raise errors.ConfigError(
      f'cannot join the other processes: {errors.summary(error)}; give '
      '--coordinator=HOST:PORT, --num_processes and --process_id, or start '
      'under a cluster that says them'
    ) from error


def check_numbers(
  coordinator: str, num_processes: int | None, process_id: int | None
) -> None:
  """Refuses what JAX would wait for in vain."""
  host, _, port = coordinator.rpartition(':')
  if not host or not port.isdigit() or not 0 < int(port) < 2**16:
    raise errors.ConfigError(
      f'--coordinator={coordinator!r} is not allowed: must be HOST:PORT'
    )
  if num_processes is None or num_processes < 1:
    raise errors.ConfigError(
      f'--num_processes={num_processes} is not allowed with --coordinator: '
      'must be at least 1'
    )
  if process_id is None or not 0 <= process_id < num_processes:
    raise errors.ConfigError(
      f'--process_id={process_id} is not allowed with --coordinator: must be '
      f'from 0 to {num_processes - 1}'
    )


def is_alone() -> bool:
  """Whether this is the only process."""
  return jax.process_count() == 1


def is_primary() -> bool:
  """Whether this is the process that writes records."""
  return jax.process_index() == 0


def told_by_primary(text: str | None) -> str | None:
  """The value of process 0, in every process."""
  if is_alone():
    return text
  message = encoded(text)
  return decoded(np.asarray(multihost_utils.broadcast_one_to_all(message)))


def first_problem(text: str | None) -> str | None:
  """The text of the first process that has one; None where none has."""
  if is_alone():
    return text
  rows = np.asarray(multihost_utils.process_allgather(encoded(text)))
  return next((t for t in map(decoded, rows) if t is not None), None)


def any_process(flag: bool) -> bool:
  """Whether the flag is set in any process."""
  return first_problem('yes' if flag else None) is not None


class Agreement:
  """Whether any process was asked to stop: all ask together, once a second.

  How many calls that is, they find out from the slowest.
  """

  def __init__(self, stop: Callable[[], bool]):
    """Takes a function that says whether this process is to stop."""
    self._stop = stop
    self._every, self._calls = 1, 0
    self._asked = time.monotonic()

  def __call__(self) -> bool:
    """Called by all processes after the same calls of the program."""
    if is_alone():
      return self._stop()
    self._calls += 1
    if self._calls < self._every:
      return False
    seconds = (time.monotonic() - self._asked) / self._calls
    own = np.array([self._stop(), seconds], np.float32)
    stop, seconds = np.asarray(multihost_utils.process_allgather(own)).max(0)
    self._every = max(1, int(ASK_EVERY / max(float(seconds), 1e-6)))
    self._calls, self._asked = 0, time.monotonic()
    return bool(stop)


def wait_for_all(name: str) -> None:
  """Returns when all processes are here."""
  if not is_alone():
    multihost_utils.sync_global_devices(name)


def encoded(text: str | None) -> np.ndarray:
  """A text as bytes of one length; the first says whether there is one."""
  # A path can have bytes that are no text.
  data = b'' if text is None else b'\1' + text.encode(errors='replace')
  data = data[:TEXT_LENGTH]
  return np.frombuffer(data.ljust(TEXT_LENGTH, b'\0'), np.uint8)


def decoded(message: np.ndarray) -> str | None:
  """The text that `encoded` was given."""
  data = message.tobytes().rstrip(b'\0')
  return data[1:].decode(errors='replace') if data else None
