"""SIGTERM and Ctrl-C: a run saves its state and ends, in seconds.

Python runs a signal's handler only when the main thread returns to Python, and
so not while it compiles. But the C part of the handler writes the signal's
number to a pipe at once (`set_wakeup_fd`); a thread of ours reads it.
"""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

# Exit status of an interrupted run that can be continued (EX_TEMPFAIL).
STATUS = 75
# Exit status after a second signal.
TWICE = 130
SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Seconds from the first signal to the end, if the run does not end by itself.
PATIENCE = 8.0


class Interrupted(Exception):
  """The run was asked to stop, and has saved its state."""

  def __init__(self, step: int):
    """Notes the step, from 1, after which the run ended."""
    super().__init__(f'interrupted at step {step}')
    self.step = step


class InterruptedSweep(Exception):
  """Some runs were asked to stop, and have saved their states."""


class Interruption:
  """Whether the process was asked to stop."""

  def __init__(self):
    """No signal has come yet."""
    # Called before this process is ended: after a second signal, or if the run
    # did not end in time.
    self.on_end: Callable[[], None] = lambda: None
    self._told = threading.Event()
    self._patience = threading.Timer(PATIENCE, self._end, (STATUS,))
    self._patience.daemon = True

  def __call__(self) -> bool:
    """Whether the process was asked to stop."""
    return self._told.is_set()

  def tell(self) -> None:
    """Notes a signal; the second one ends the process."""
    if self._told.is_set():
      self._end(TWICE)
    self._told.set()
    self._patience.start()

  def close(self) -> None:
    """The run has ended by itself."""
    self._patience.cancel()

  def _end(self, status: int) -> None:
    try:
      self.on_end()
    finally:
      os._exit(status)


@contextlib.contextmanager
def watched() -> Iterator[Interruption]:
  """Notes SIGTERM and SIGINT inside the block, in the main thread."""
  interruption = Interruption()
  ours, systems = socket.socketpair()
  systems.setblocking(False)
  threading.Thread(
    target=_listen, args=(ours, interruption), daemon=True
  ).start()
  earlier = {s: signal.signal(s, lambda *_: None) for s in SIGNALS}
  pipe = signal.set_wakeup_fd(systems.fileno(), warn_on_full_buffer=False)
  try:
    yield interruption
  finally:
    interruption.close()
    signal.set_wakeup_fd(pipe)
    for number, handler in earlier.items():
      signal.signal(number, handler)
    systems.close()


def _listen(pipe: socket.socket, interruption: Interruption) -> None:
  """Passes signals on until the other end is closed."""
  with pipe:
    while numbers := pipe.recv(16):
      for number in numbers:
        if number in SIGNALS:
          interruption.tell()
