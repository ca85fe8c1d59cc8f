"""Where metrics go: JSON lines and TensorBoard events."""

import json
import math
import os
import pathlib
import time
from collections.abc import Mapping, Sequence

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

# Values of metrics: a number, or one per class, None for a class without.
Value = float | None | Sequence[float | None]
Values = Mapping[str, Value]

# Ends the names of our event files: others in the folder are not ours.
EVENTS_SUFFIX = '.normlab'


class JsonLinesWriter:
  """One object a line: step, split and the metrics; NaN and inf are null."""

  def __init__(self, path: pathlib.Path):
    """Continues the file, or starts it."""
    self._path = path
    # Without a buffer: after an error none is left to be written later.
    self._file = path.open('ab', buffering=0)

  def write(self, step: int, split: str, metrics: Values) -> None:
    """Appends a line, at once visible to readers."""
    row = {'step': step, 'split': split}
    row |= {name: finite(value) for name, value in metrics.items()}
    line = (json.dumps(row) + '\n').encode()
    while line:
      line = line[self._file.write(line) :]

  def sync(self) -> None:
    """Returns when the lines are on disk, whatever happens to the machine.

    Raises:
      OSError: they are not, or no longer under the file's name.
    """
    os.fsync(self._file.fileno())
    self._path.stat()

  def close(self) -> None:
    """Closes the file."""
    self._file.close()


def finite(value: Value) -> Value:
  """The value, with None for what JSON has no numbers for."""
  if isinstance(value, Sequence):
    return [finite(v) for v in value]
  return value if value is not None and math.isfinite(value) else None


class TensorBoardWriter:
  """Scalars 'split/metric', in an event file that TensorBoard reads.

  Through TensorBoard's own event writer, which needs no TensorFlow.
  """

  def __init__(self, folder: pathlib.Path):
    """Opens a new event file in `folder`."""
    self._events = EventFileWriter(str(folder), filename_suffix=EVENTS_SUFFIX)

  def write(self, step: int, split: str, metrics: Values) -> None:
    """Adds one scalar a value; those of each class are left to the records."""
    summary = Summary(
      value=[
        Summary.Value(tag=f'{split}/{name}', simple_value=value)
        for name, value in metrics.items()
        if value is not None and not isinstance(value, Sequence)
      ]
    )
    event = Event(step=step, wall_time=time.time(), summary=summary)
    self._events.add_event(event)

  def close(self) -> None:
    """Flushes and closes the event file."""
    self._events.close()
