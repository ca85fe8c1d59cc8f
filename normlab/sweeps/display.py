"""One display for many runs: a bar on a terminal, a line a run in a log."""

import collections
import sys
import time
from collections.abc import Mapping

import tqdm

from normlab import records


class Display:
  """Shows the steps of all runs together, read from their records."""

  def __init__(self, lengths: Mapping[str, int], *, finished: int):
    """Starts the clock.

    Args:
      lengths: run folder to its number of steps, of the runs to train.
      finished: number of runs that had a result before.
    """
    self._lengths = dict(lengths)
    self._steps = dict.fromkeys(lengths, 0)
    self._ended: set[str] = set()
    self._counts = collections.Counter()
    self._best = 0.0
    self._start = time.monotonic()
    self._polled = 0.0
    if finished:
      self._line(f'{finished} runs are finished and are not trained again')
    self._bar = tqdm.tqdm(
      total=sum(lengths.values()),
      unit='step',
      dynamic_ncols=True,
      smoothing=0.05,
      disable=not sys.stderr.isatty(),
    )

  def poll(self) -> None:
    """Reads how far the runs are, twice a second at most."""
    now = time.monotonic()
    if now - self._polled < 0.5:
      return
    self._polled = now
    for path in self._lengths.keys() - self._ended:
      self._steps[path] = records.Record(path).last_step()
    self._draw()

  def ended(self, path: str, problem: str | None = None) -> None:
    """Counts a run that has ended.

    Args:
      path: its folder.
      problem: what went wrong, if it failed.
    """
    record = records.Record(path)
    status = record.status
    self._ended.add(path)
    self._steps[path] = self._lengths[path]
    self._counts['failed' if problem else status['status']] += 1
    best = max(
      (
        row['accuracy']
        for row in record.metrics()
        if row['split'] == 'validation'
      ),
      default=0.0,
    )
    self._best = max(self._best, best)
    self._draw()
    if problem:
      self._line(f'{path}: failed: {problem}')
    elif self._bar.disable:
      self._line(self._summary(record, status, best))

  def close(self) -> None:
    """Leaves the bar standing."""
    self._bar.close()

  def _summary(
    self, record: records.Record, status: Mapping[str, object], best: float
  ) -> str:
    done, total = len(self._ended), len(self._lengths)
    outcome = str(status['status'])
    if outcome == 'diverged':
      outcome += f' at step {status["step"]}'
    seconds = time.monotonic() - self._start
    share = sum(self._steps.values()) / sum(self._lengths.values())
    left = seconds * (1 - share) / share
    return (
      f'[{done}/{total}] {record.path.name}: {outcome}, best validation '
      f'accuracy {best:.2%}; {seconds:.0f} s so far, about {left:.0f} s left'
    )

  def _draw(self) -> None:
    counts = ', '.join(f'{n} {status}' for status, n in self._counts.items())
    self._bar.set_postfix_str(
      f'runs: {counts or "0 done"} of {len(self._lengths)}, best '
      f'{self._best:.2%}',
      refresh=False,
    )
    self._bar.update(sum(self._steps.values()) - self._bar.n)

  def _line(self, text: str) -> None:
    tqdm.tqdm.write(text, file=sys.stderr)
