"""Progress of a run: a bar on a terminal, plain lines in a log."""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any

import tqdm


class Progress:
  """Shows warnings of a run, and nothing else."""

  def __init__(self, total_steps: int = 0):
    """Has shown nothing yet."""
    self._total = total_steps

  def note(self, text: str) -> None:
    """Shows what a person may like to know."""

  def warn(self, text: str) -> None:
    """Shows what a person must know."""
    print(f'warning: {text}', file=sys.stderr, flush=True)

  def resumed(self, step: int) -> None:
    """The run continues after `step` updates."""

  def step(self, step: int, metrics: Mapping[str, float]) -> None:
    """The run has made `step` updates, with these metrics of the last."""

  def evaluated(
    self, step: int, split: str, metrics: Mapping[str, float]
  ) -> None:
    """The run was evaluated after `step` updates."""

  def close(self) -> None:
    """The run has ended."""


class Bar(Progress):
  """A bar with rate, remaining time, loss and accuracy."""

  def __init__(self, total_steps: int):
    """Draws the bar."""
    self._bar = bar(total=total_steps)
    self._loss = self._accuracy = ''

  def note(self, text: str) -> None:
    """Writes the text above the bar."""
    self._bar.write(text, file=sys.stderr)

  def warn(self, text: str) -> None:
    """Writes the warning above the bar."""
    self.note(f'warning: {text}')

  def resumed(self, step: int) -> None:
    """Starts the bar behind the steps that were made before."""
    self._bar.initial = self._bar.n = step
    self._bar.refresh()

  def step(self, step: int, metrics: Mapping[str, float]) -> None:
    """Moves the bar."""
    self._loss = f'loss {metrics["loss"]:.4f}'
    self._bar.set_postfix_str(self._loss + self._accuracy, refresh=False)
    self._bar.update(step - self._bar.n)

  def evaluated(
    self, step: int, split: str, metrics: Mapping[str, float]
  ) -> None:
    """Keeps the newest evaluation beside the loss."""
    del step
    self._accuracy = f', {split} accuracy {metrics["accuracy"]:.2%}'
    self._bar.set_postfix_str(self._loss + self._accuracy)

  def close(self) -> None:
    """Leaves the bar standing."""
    self._bar.close()


class Lines(Progress):
  """One line per evaluation, with rate and remaining time."""

  # Of the first step, which compiles: its number, and when it was made.
  _start: tuple[int, float] | None = None
  _loss = float('nan')

  def note(self, text: str) -> None:
    """Writes the text."""
    print(text, file=sys.stderr, flush=True)

  def resumed(self, step: int) -> None:
    """Says so."""
    self.note(f'resumed at step {step}/{self._total}')

  def step(self, step: int, metrics: Mapping[str, float]) -> None:
    """Remembers the loss."""
    if self._start is None:
      self._start = step, time.monotonic()
    self._loss = metrics['loss']

  def evaluated(
    self, step: int, split: str, metrics: Mapping[str, float]
  ) -> None:
    """Writes the line."""
    rate = ''
    if self._start is not None and step > self._start[0]:
      seconds = time.monotonic() - self._start[1]
      per_second = (step - self._start[0]) / max(seconds, 1e-9)
      left = (self._total - step) / per_second
      rate = f', {per_second:.1f} steps/s, {left:.0f} s left'
    self.note(
      f'step {step}/{self._total}: loss {self._loss:.4f}, {split} loss '
      f'{metrics["loss"]:.4f}, accuracy {metrics["accuracy"]:.2%}{rate}'
    )


def bar(**fields: Any) -> tqdm.tqdm:
  """A bar of steps on standard error; the arguments are those of tqdm."""
  size: dict[str, Any] = {'dynamic_ncols': True}
  with contextlib.suppress(OSError, ValueError):  # It is no terminal.
    if 0 in os.get_terminal_size(sys.stderr.fileno()):
      # One that does not know its size, for which tqdm would draw nothing.
      guess = shutil.get_terminal_size()
      size = {'ncols': guess.columns, 'nrows': guess.lines}
  return tqdm.tqdm(unit='step', **size, **fields)


def duration(seconds: float) -> str:
  """Seconds as a person says them: '40 s', '12 min', '3.5 h'."""
  if seconds < 120:
    return f'{seconds:.0f} s'
  if seconds < 7_200:
    return f'{seconds / 60:.0f} min'
  return f'{seconds / 3_600:.1f} h'


def for_terminal(total_steps: int) -> Progress:
  """A bar where a person watches, else lines."""
  kind = Bar if sys.stderr.isatty() else Lines
  return kind(total_steps)
