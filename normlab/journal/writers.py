"""Where metrics go: JSON lines and TensorBoard events."""

import json
import math
import os
import pathlib
import time
from collections.abc import Mapping, Sequence

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
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
    self._add(step, summary)

  def write_histograms(
    self, step: int, probe: str, arrays: Mapping[str, np.ndarray]
  ) -> None:
    """Adds the histograms among what a probe measured, as 'outputs/layer3'.

    Args:
      arrays: 'histogram/LAYER' with their 'edges'; others are left out.
    """
    for name, counts in arrays.items():
      quantity, _, layer = name.partition('/')
      if quantity == 'histogram':
        self.write_histogram(step, f'{probe}/{layer}', counts, arrays['edges'])

  def write_histogram(
    self, step: int, tag: str, counts: Sequence[int], edges: Sequence[float]
  ) -> None:
    """Adds a histogram, unless nothing was counted.

    Args:
      tag: its name, such as 'outputs/layer3'.
      counts: of the bins; the first is below all edges, the last above. These
        have no end, and are drawn as wide as their neighbours.
      edges: between the bins, rising; one less than the counts.
    """
    histogram = histogram_of(counts, edges)
    if histogram.num:
      value = Summary.Value(tag=tag, histo=histogram)
      self._add(step, Summary(value=[value]))

  def _add(self, step: int, summary: Summary) -> None:
    event = Event(step=step, wall_time=time.time(), summary=summary)
    self._events.add_event(event)

  def close(self) -> None:
    """Flushes and closes the event file."""
    self._events.close()


def histogram_of(
  counts: Sequence[int], edges: Sequence[float]
) -> HistogramProto:
  """TensorBoard's histogram, from the first bin with values to the last.

  The sums are those of the bins' middles: the values themselves are gone.
  """
  counts, edges = np.asarray(counts, float), np.asarray(edges, float)
  widths = np.diff(edges)[[0, -1]]
  limits = np.array([edges[0] - widths[0], *edges, edges[-1] + widths[1]])
  filled = np.flatnonzero(counts)
  if not len(filled):
    return HistogramProto()
  first, last = filled[0], filled[-1]
  counts, limits = counts[first : last + 1], limits[first : last + 2]
  middles = (limits[1:] + limits[:-1]) / 2
  return HistogramProto(
    min=limits[0],
    max=limits[-1],
    num=counts.sum(),
    sum=counts @ middles,
    sum_squares=counts @ middles**2,
    bucket_limit=limits[1:],
    bucket=counts,
  )
