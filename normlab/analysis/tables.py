"""Tables of runs, read from their records."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from normlab.records import Record

# Of a table without rows.
COLUMNS = ['status', 'diverged_at', 'step', 'accuracy', 'loss']


def evaluations(
  runs: Iterable[tuple[Mapping[str, Any], Record]], split: str = 'validation'
) -> pd.DataFrame:
  """One row an evaluation.

  Args:
    runs: what identifies each run ('network', 'seed', ...), and its record.
    split: the split to read.

  Returns:
    The identifying columns; 'step'; the metrics, NaN where they were not
    finite; 'status' of the run; 'diverged_at', its step or NaN.
  """
  rows = []
  for labels, record in runs:
    status = record.status
    diverged = status['status'] == 'diverged'
    ending = {
      'status': status['status'],
      'diverged_at': status['step'] if diverged else float('nan'),
    }
    evaluated = [row for row in record.metrics() if row['split'] == split]
    # A run that diverged before its first evaluation still is a row.
    rows += [
      {**labels, **ending, **row}
      for row in evaluated or [{'step': 0, 'accuracy': None, 'loss': None}]
    ]
  table = pd.DataFrame(rows, columns=None if rows else COLUMNS)
  table = table.drop(columns='split', errors='ignore')
  return table.astype({'accuracy': float, 'loss': float})
