"""Tables of the evaluations of runs; training rows stay in the records."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from normlab import errors
from normlab.records import Record, RecordError

# The columns of a table without rows.
COLUMNS = ['status', 'diverged_at', 'step', 'accuracy', 'loss']


def evaluations(
  runs: Iterable[tuple[Mapping[str, Any], Record]], split: str = 'validation'
) -> pd.DataFrame:
  """One row per evaluation.

  Args:
    runs: what identifies each run ('network', 'seed', ...), and its record.

  Returns:
    The identifying columns; 'step'; the metrics, NaN where they were not
    finite; 'status' of the run; 'diverged_at', its step or NaN.
  """
  rows = []
  for labels, record in runs:
    ending, evaluated = reading(record, split)
    shared = {**labels, **{name: ending[name] for name in COLUMNS[:2]}}
    # A run that diverged before its first evaluation still is a row.
    nothing = {'step': 0, 'accuracy': math.nan, 'loss': math.nan}
    rows += [{**shared, **row} for row in evaluated or [nothing]]
  table = pd.DataFrame(rows, columns=None if rows else COLUMNS)
  return table.astype({'accuracy': float, 'loss': float})


def reading(
  record: Record, split: str = 'validation'
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
  """How a run ended, and its evaluations.

  Args:
    record: read once; a damaged one is that of a run that has failed.

  Returns:
    'status'; 'diverged_at', a step or NaN; 'steps' made so far; 'error', None
    unless the run has failed. Then the rows of the split, without its name; a
    loss that was not finite is None.
  """
  status, rows, damage = {'status': 'failed'}, [], None
  try:
    status = record.status
    rows = record.metrics()
    record.check_whole()
  except RecordError as error:
    status = {**status, 'status': 'failed'}
    damage = errors.one_line(str(error))
  last = rows[-1]['step'] if rows else 0
  steps = status.get('step', last)
  diverged = status['status'] == 'diverged'
  ending = {
    'status': status['status'],
    'diverged_at': float(steps) if diverged else math.nan,
    'steps': steps,
    'error': damage or status.get('error'),
  }
  evaluated = [row for row in rows if row.pop('split') == split]
  return ending, evaluated


def markdown(table: pd.DataFrame) -> str:
  """A table of text as Markdown."""
  return table.to_markdown(index=False, disable_numparse=True)
