"""Filters for errors that the threads of writers both print and raise.

The threads of Orbax and TensorBoard answer a full disk or a damaged file with
some hundred lines; ours is one.
"""

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def hidden() -> Iterator[None]:
  """Drops Orbax's log records, and what threads raise about files.

  After an error for good: other threads fail later than the one that raised it.
  """
  logger = logging.getLogger('absl')
  unraisable, in_thread = sys.unraisablehook, threading.excepthook

  def ignore_late_callback(error: Any) -> None:
    if 'Event loop is closed' not in str(error.exc_value):
      unraisable(error)

  def ignore_file_error(error: Any) -> None:
    if not isinstance(error.exc_value, OSError):
      in_thread(error)

  logger.addFilter(_is_not_orbax)
  sys.unraisablehook = ignore_late_callback
  threading.excepthook = ignore_file_error
  yield
  sys.unraisablehook, threading.excepthook = unraisable, in_thread
  logger.removeFilter(_is_not_orbax)


def _is_not_orbax(record: logging.LogRecord) -> bool:
  return 'orbax' not in record.pathname
