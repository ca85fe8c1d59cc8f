"""The journal of a run: rows, events and checkpoints that belong together.

A checkpoint knows how many rows were written before it; a run that resumes
takes off the rows after it, and writes them again.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from normlab import records
from normlab.journal import checkpoints
from normlab.journal.checkpoints import Position
from normlab.journal.writers import (
  EVENTS_SUFFIX,
  JsonLinesWriter,
  TensorBoardWriter,
  Values,
)
from normlab.program import training_step
from normlab.runtime import distributed


class Journal:
  """Writes the record of one run; in one process of several, the first."""

  def __init__(self, record: records.Record, *, keep_checkpoints: int):
    """Names what is written to; nothing is opened yet."""
    self._record = record
    self._checkpoints = checkpoints.Checkpoints(record, keep=keep_checkpoints)
    self._writes = distributed.is_primary()
    # Lines of metrics.jsonl.
    self.rows = 0
    # Validation accuracy by step, and the step of the first that was the best.
    self._accuracies: dict[int, float] = {}
    self._best: int | None = None
    self._start = time.monotonic()

  def resume(
    self, like: training_step.TrainState, warn: Callable[[str], None]
  ) -> tuple[training_step.TrainState, Position]:
    """Opens the record behind its newest whole checkpoint.

    Args:
      warn: is told of checkpoints that cannot be used.

    Returns:
      The checkpoint; for a run without, the state before the first step.
    """
    found = self._checkpoints.newest_whole(like, warn)
    state, position = found or (like, Position())
    self.rows = position.rows
    self._start = time.monotonic() - position.seconds
    if self._writes:
      self._record.cut(position.rows, position.step)
      self._open()
    # All processes save the best together.
    distributed.wait_for_all('rows are cut')
    for row in self._record.metrics():
      self._note_best(row['step'], row['split'], row)
    return state, position

  def _open(self) -> None:
    record = self._record
    # Events that were not on disk yet are lost with the process: those of all
    # rows are written anew.
    for stale in record.path.glob(f'events.*{EVENTS_SUFFIX}'):
      stale.unlink()
    self._metrics = JsonLinesWriter(record.path / records.METRICS)
    self._timing = JsonLinesWriter(record.path / records.TIMING)
    self._events = TensorBoardWriter(record.path)
    for row in (*record.metrics(), *record.timing()):
      metrics = {k: v for k, v in row.items() if k not in ('step', 'split')}
      self._events.write(row['step'], row['split'], metrics)
    for name in record.probes():
      measured = record.probe(name)
      for i, step in enumerate(measured.pop('step')):
        row = {key: values[i] for key, values in measured.items()}
        self._events.write_histograms(int(step), name, row)

  @property
  def seconds(self) -> float:
    """Seconds of training so far; a resumed run counts on."""
    return time.monotonic() - self._start

  def write(self, step: int, split: str, metrics: Values) -> None:
    """Writes the metrics of one split after `step` updates."""
    self.rows += 1
    self._note_best(step, split, metrics)
    if self._writes:
      self._metrics.write(step, split, metrics)
      self._events.write(step, split, metrics)

  def write_timing(self, step: int, metrics: Mapping[str, float]) -> None:
    """Writes how fast training is."""
    if self._writes:
      metrics = {**metrics, 'seconds': round(self.seconds, 3)}
      self._timing.write(step, 'train', metrics)
      self._events.write(step, 'train', metrics)

  def write_probe(
    self, step: int, name: str, arrays: Mapping[str, Any]
  ) -> None:
    """Writes what a probe measured after `step` updates."""
    if self._writes:
      self._record.write_probe(step, name, arrays)
      self._events.write_histograms(step, name, arrays)

  def is_best(self, step: int) -> bool:
    """Whether no evaluation before that of `step` was as good."""
    return self._best == step

  def position(self, step: int, **where: Any) -> Position:
    """Where the run stands after `step` updates.

    Args:
      **where: window and stream.
    """
    return Position(step, rows=self.rows, seconds=self.seconds, **where)

  def save(self, state: training_step.TrainState, position: Position) -> None:
    """Starts to write a checkpoint, unless the step has one.

    Args:
      position: taken when the run was in this state.
    """
    if position.step in self._checkpoints.available():
      return
    if self._writes:
      # The checkpoint says that these rows are there.
      self._metrics.sync()
    due = position.evaluation_due
    accuracy = None if due else self._accuracies.get(position.step)
    self._checkpoints.save(state, position, accuracy=accuracy)

  def save_unevaluated(
    self, state: training_step.TrainState, before: Position
  ) -> None:
    """Starts to write the checkpoint of an evaluation that was stopped.

    Args:
      before: where the run stood before; its rows since are not counted.
    """
    position = dataclasses.replace(
      before, seconds=self.seconds, evaluation_due=True
    )
    self.save(state, position)

  def restore(
    self, like: training_step.TrainState, most: int
  ) -> tuple[training_step.TrainState, Position] | None:
    """The newest checkpoint of at most `most` updates; None without one."""
    self._checkpoints.wait()
    for step in reversed(self._checkpoints.available()):
      if step <= most:
        return self._checkpoints.read(step, like)
    return None

  def wait(self) -> None:
    """Returns when everything is on disk; see `Checkpoints.wait`."""
    self._checkpoints.wait()

  def close(self) -> None:
    """Closes all files."""
    self._checkpoints.close()
    if self._writes and hasattr(self, '_events'):
      for writer in (self._metrics, self._timing, self._events):
        with contextlib.suppress(OSError):  # It was raised by a write.
          writer.close()

  def _note_best(self, step: int, split: str, metrics: Values) -> None:
    if split == 'validation':
      self._accuracies[step] = metrics['accuracy']
      if metrics['accuracy'] > self._accuracies.get(self._best, -1.0):
        self._best = step
