"""One display for many runs: a bar on a terminal, one line per run in a log."""

import collections
import pathlib
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import tqdm

from normlab import records
from normlab.analysis import tables
from normlab.runtime import progress_bar

# Seconds between two looks at the records.
POLL_EVERY = 0.5


class Display:
  """A `Watch` that shows the steps of all runs, read from their records."""

  def __init__(
    self,
    lengths: Mapping[str, int],
    *,
    finished: int,
    stop: Callable[[], bool] = lambda: False,
  ):
    """Starts the clock.

    Args:
      lengths: run folder to number of steps, of the runs to train.
      finished: number of runs that had a result before.
    """
    self.stop = stop
    self._lengths = dict(lengths)
    self._steps = {path: records.Record(path).last_step() for path in lengths}
    self._steps_before = sum(self._steps.values())
    self._running: set[str] = set()
    self._ended: set[str] = set()
    self._counts = collections.Counter()
    self._best: float | None = None
    self._start = time.monotonic()
    self._polled = 0.0
    if lengths:
      self.note(f'{count_of(len(lengths), "run")} to train')
    if finished:
      self.note(
        f'{count_of(finished, "run")} finished before, not trained again'
      )
    self._bar = progress_bar.bar(
      total=sum(lengths.values()),
      initial=self._steps_before,
      smoothing=0.05,
      # Without the number of steps, which leaves room for that of the runs.
      bar_format='{l_bar}{bar}| [{elapsed}<{remaining}, {rate_fmt}{postfix}]',
      disable=not (lengths and sys.stderr.isatty()),
    )

  def note(self, text: str) -> None:
    """Writes a line, above the bar."""
    tqdm.tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()

  def started(self, path: str) -> None:
    """Counts a run that is being trained."""
    self._running.add(path)
    self._draw()

  def poll(self) -> None:
    """Reads how far the runs are that are trained, twice a second at most."""
    now = time.monotonic()
    if now - self._polled < POLL_EVERY:
      return
    self._polled = now
    for path in self._running:
      self._steps[path] = records.Record(path).last_step()
    self._draw()

  def again(self, path: str, problem: str) -> None:
    """A run has failed, and will be tried once more."""
    self._running.discard(path)
    self.note(
      f'{pathlib.Path(path).name}: failed, and is tried once more: {problem}'
    )

  def ended(self, path: str, problem: str | None = None) -> None:
    """Counts a run that has ended; with a problem if it failed."""
    self._running.discard(path)
    self._ended.add(path)
    self._steps[path] = self._lengths[path]
    ending, rows = tables.reading(records.Record(path))
    problem = problem or ending['error']
    place = (
      f'[{len(self._ended)}/{len(self._lengths)}] {pathlib.Path(path).name}'
    )
    if problem:
      self._counts['failed'] += 1
      self.note(f'{place}: failed: {problem}')
    else:
      self._counts[ending['status']] += 1
      best = max((row['accuracy'] for row in rows), default=None)
      known = [value for value in (self._best, best) if value is not None]
      self._best = max(known, default=None)
      if self._bar.disable:
        self.note(f'{place}: {self._summary(ending, best)}')
    self._draw()

  def close(self) -> None:
    """Leaves the bar standing."""
    self._bar.close()

  def _summary(self, ending: Mapping[str, Any], best: float | None) -> str:
    outcome = ending['status']
    if outcome == 'diverged':
      outcome += f' at step {ending["steps"]}'
    seconds = time.monotonic() - self._start
    rate = (sum(self._steps.values()) - self._steps_before) / seconds
    left = sum(self._lengths.values()) - sum(self._steps.values())
    # A run can be behind its start: one that went back to its checkpoint.
    remaining = progress_bar.duration(left / rate) if rate > 0 else '?'
    return (
      f'{outcome}, best validation accuracy {percent(best)}; '
      f'{progress_bar.duration(seconds)} so far, about {remaining} left'
    )

  def _draw(self) -> None:
    counts = {'done': 0, **self._counts, 'running': len(self._running)}
    shown = ', '.join(f'{n} {status}' for status, n in counts.items())
    self._bar.set_postfix_str(
      f'{shown} of {len(self._lengths)}, best {percent(self._best)}',
      refresh=False,
    )
    self._bar.update(sum(self._steps.values()) - self._bar.n)


def percent(accuracy: float | None) -> str:
  """'98.33%', or a dash where there is none yet."""
  return '\N{EN DASH}' if accuracy is None else f'{accuracy:.2%}'


def count_of(number: int, noun: str) -> str:
  """'1 run', '12 runs'."""
  return f'{number:,} {noun}{"" if number == 1 else "s"}'
