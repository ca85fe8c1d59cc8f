"""Tables of runs: evaluations, and what else is measured at a step."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd

from normlab import errors
from normlab.records import Record, RecordError

# The columns of a table without rows.
COLUMNS = ['status', 'diverged_at', 'step', 'accuracy', 'loss']


# Significant digits of what is measured beside evaluations: a curve needs no
# more, and the file of many columns stays small.
DIGITS = 5


def evaluations(
  runs: Iterable[tuple[Mapping[str, Any], Record]],
  split: str = 'validation',
  *,
  measure: Callable[[Record], pd.DataFrame] | None = None,
) -> pd.DataFrame:
  """One row per evaluation, and per step at which something is measured.

  Args:
    runs: what identifies each run ('network', 'seed', ...), and its record.
    measure: from a record, by step (the index), further columns.

  Returns:
    The identifying columns; 'step'; the metrics, NaN where they were not
    finite; 'status' of the run; 'diverged_at', its step or NaN; the further
    columns, to `DIGITS`. A row that is no evaluation has NaN as 'accuracy'.
  """
  rows = []
  for labels, record in runs:
    ending, evaluated = reading(record, split)
    shared = {**labels, **{name: ending[name] for name in COLUMNS[:2]}}
    # A run that diverged before its first evaluation still is a row.
    nothing = {'step': 0, 'accuracy': math.nan, 'loss': math.nan}
    found = evaluated or [nothing]
    if measure:
      found = joined(found, measure(record))
    rows += [{**shared, **row} for row in found]
  table = pd.DataFrame(rows, columns=None if rows else COLUMNS)
  return table.astype({'accuracy': float, 'loss': float})


def training(record: Record) -> pd.DataFrame:
  """The training rows of a run, by step: 'train_loss', 'train_accuracy', ..."""
  rows = [row for row in record.metrics() if row.pop('split') == 'train']
  table = pd.DataFrame(rows, columns=None if rows else COLUMNS[2:])
  return table.set_index('step').add_prefix('train_')


def joined(
  evaluated: list[dict[str, Any]], measured: pd.DataFrame
) -> list[dict[str, Any]]:
  """Evaluations and what was measured, one row a step, rising.

  Args:
    evaluated: rows with 'step'.
    measured: numbers by step, in columns of other names.
  """
  rounded = measured.astype(float).map(lambda x: float(f'{x:.{DIGITS}g}'))
  by_step = pd.DataFrame(evaluated).set_index('step')
  both = by_step.join(rounded.rename_axis('step'), how='outer')
  return both.sort_index().reset_index().to_dict('records')


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
