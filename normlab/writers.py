"""Where metrics go: JSON lines and TensorBoard events."""

import json
import math
import pathlib
import time
from collections.abc import Iterable, Mapping
from typing import Protocol

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter


class Writer(Protocol):
  """Takes the metrics of a run."""

  def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
    """Writes the values of one split after `step` updates."""

  def close(self) -> None:
    """Makes sure that everything is on disk."""


class JsonLinesWriter:
  """One object a line: step, split and the values; NaN and inf are null."""

  def __init__(self, path: pathlib.Path):
    """Starts the file anew."""
    self._file = path.open('w', encoding='utf-8')

  def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
    """Appends a line, at once visible to readers."""
    finite = {k: v if math.isfinite(v) else None for k, v in values.items()}
    self._file.write(
      json.dumps({'step': step, 'split': split, **finite}) + '\n'
    )
    self._file.flush()

  def close(self) -> None:
    """Closes the file."""
    self._file.close()


class TensorBoardWriter:
  """Scalars 'split/metric', in an event file that TensorBoard reads.

  Through TensorBoard's own event writer, which needs no TensorFlow.
  """

  def __init__(self, folder: pathlib.Path):
    """Opens a new event file in `folder`."""
    self._events = EventFileWriter(str(folder))

  def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
    """Adds one scalar a value."""
    summary = Summary(
      value=[
        Summary.Value(tag=f'{split}/{name}', simple_value=value)
        for name, value in values.items()
      ]
    )
    event = Event(step=step, wall_time=time.time(), summary=summary)
    self._events.add_event(event)

  def close(self) -> None:
    """Flushes and closes the event file."""
    self._events.close()


class MultiWriter:
  """Writes to several writers."""

  def __init__(self, writers: Iterable[Writer]):
    """Takes the writers, in the order in which they are written to."""
    self._writers = list(writers)

  def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
    """Passes the values on to each writer."""
    for writer in self._writers:
      writer.write(step, split, values)

  def close(self) -> None:
    """Closes all."""
    for writer in self._writers:
      writer.close()
