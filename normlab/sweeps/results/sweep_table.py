"""The outcomes of a sweep: a table with one row per run, and its files."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from normlab import errors
from normlab.analysis import curves, outputs, tables
from normlab.records import FINISHED, Record
from normlab.sweeps.plan import short_names
from normlab.sweeps.results import sweep_figure

FILES = ('sweep.csv', 'sweep.md', 'sweep.png', 'sweep.svg')
# Columns behind the overrides, in this order.
OUTCOMES = (
  'status',
  'steps',
  'best_accuracy',
  'final_accuracy',
  'steps_to_target',
  'diverged_at',
  'error',
  'run',
)
NOTHING = '\N{EN DASH}'

Runs = Sequence[tuple[Mapping[str, Any], Record]]


def table(
  runs: Runs,
  *,
  target: float | None = None,
  problems: Mapping[str, str] | None = None,
) -> pd.DataFrame:
  """One row per run, in the order of the runs.

  Args:
    runs: the overrides of each, as 'norm.name': 'batch', and its record.
    target: accuracy in [0, 1]; None is the best of the first run that has one.
    problems: run folder to what went wrong when it was trained just now, which
      its record cannot always say: another process may have it.

  Returns:
    A column an override, None where a run has none; then
      status: done, diverged, failed, interrupted, running, absent; a run whose
        record is damaged has failed, and its error says why;
      steps: made so far;
      best_accuracy, final_accuracy: of its validations, NaN without one;
      steps_to_target: the first evaluated step with at least the target;
        infinite for a run that ended without it, NaN for one that can go on;
      diverged_at: a step, NaN;
      error: of a failed run, None;
      run: the name of its folder.
    In `attrs`: 'overrides', their columns; 'target', NaN where no run has an
    accuracy; 'target_of', the run whose best it is, None for a given target.
  """
  problems = problems or {}
  read = [
    outcome_of(record, problems.get(str(record.path))) for _, record in runs
  ]
  target_of = None
  if target is None:
    finished = (r for r, _ in read if r['status'] in FINISHED)
    evaluated = (r for r in finished if not math.isnan(r['best_accuracy']))
    baseline = next(evaluated, {})
    target = baseline.get('best_accuracy', math.nan)
    target_of = baseline.get('run')
  for outcome, evaluations in read:
    outcome['steps_to_target'] = steps_to(target, outcome, evaluations)
  paths = dict.fromkeys(path for row, _ in runs for path in row)
  columns = {path: column([row.get(path) for row, _ in runs]) for path in paths}
  columns |= {
    name: column([outcome[name] for outcome, _ in read]) for name in OUTCOMES
  }
  found = pd.DataFrame(columns)
  found.attrs = {
    'overrides': list(paths),
    'target': float(target),
    'target_of': target_of,
  }
  return found


def outcome_of(
  record: Record, problem: str | None
) -> tuple[dict[str, Any], pd.DataFrame]:
  """The outcome of a run, and its evaluations."""
  ending, rows = tables.reading(record)
  if problem:
    ending |= {'status': 'failed', 'error': problem}
  evaluations = pd.DataFrame(rows, columns=['step', 'accuracy'])
  accuracy = evaluations['accuracy']
  outcome = {
    **ending,
    'best_accuracy': accuracy.max(),
    'final_accuracy': accuracy.iloc[-1] if len(accuracy) else math.nan,
    'run': record.path.name,
  }
  return outcome, evaluations


def steps_to(
  target: float, outcome: Mapping[str, Any], evaluations: pd.DataFrame
) -> float:
  """See 'steps_to_target' of `table`."""
  if math.isnan(target):
    return math.nan
  steps = curves.steps_to_match(evaluations, target)
  never = math.isinf(steps)
  return math.nan if never and outcome['status'] not in FINISHED else steps


def column(values: Sequence[Any]) -> pd.Series:
  """A column in which a whole number beside None does not become a float."""
  return pd.Series(values, dtype=object if None in values else None)


def markdown(table: pd.DataFrame) -> str:
  """The table for people, with what the steps are counted to below it."""
  shown = pd.DataFrame(index=table.index)
  for path, header in headers(table.attrs['overrides']).items():
    shown[header] = [override_text(value) for value in table[path]]
  shown['status'] = table['status']
  for name, text in TEXTS.items():
    if name in ALWAYS or table[name].notna().any():
      shown[name.replace('_', ' ')] = [text(value) for value in table[name]]
  text = tables.markdown(shown)
  return f'{text}\n\n{target_text(table)}'


def headers(paths: Sequence[str]) -> dict[str, str]:
  """The header of each path: its short name, in words unless it is a path."""
  return {
    path: name if '.' in name else name.replace('_', ' ')
    for path, name in short_names(paths).items()
  }


def override_text(value: Any) -> str:
  """An override in a cell of a table."""
  if value is None or value != value:
    return NOTHING
  return f'{value:.6g}' if isinstance(value, float) else cell(value)


def cell(value: Any) -> str:
  """Text that does not end the cell or the line of a Markdown table."""
  return errors.one_line(str(value)).replace('|', '\\|')


def steps_text(value: float) -> str:
  """A number of steps."""
  return 'never' if math.isinf(value) else known(value, '{:.0f}')


def known(value: float, form: str) -> str:
  """A number as text, or a dash for NaN."""
  return NOTHING if math.isnan(value) else form.format(value)


def run_text(value: str) -> str:
  """A folder, of a long name the hash: the columns say the rest."""
  text = cell(value)
  return text if len(text) <= 40 else f'\N{HORIZONTAL ELLIPSIS}{text[-11:]}'


TEXTS = {
  'steps': steps_text,
  'best_accuracy': lambda value: known(value, '{:.2%}'),
  'final_accuracy': lambda value: known(value, '{:.2%}'),
  'steps_to_target': steps_text,
  'diverged_at': steps_text,
  'error': lambda value: cell(value) if isinstance(value, str) else NOTHING,
  'run': run_text,
}
# Columns of the table for people that are there also where they are empty.
ALWAYS = ('steps', 'best_accuracy', 'final_accuracy', 'steps_to_target', 'run')


def target_text(table: pd.DataFrame) -> str:
  """The sentence below the table."""
  target, owner = table.attrs['target'], table.attrs['target_of']
  if math.isnan(target):
    return 'No run has an accuracy yet, so there is no target.'
  whose = f', the best of `{owner}`' if owner else ''
  return (
    'Accuracies are of the validation split; '
    f'the target is {target:.2%}{whose}.'
  )


def write(table: pd.DataFrame, folder: str | pathlib.Path) -> None:
  """Writes `FILES`: all of them, or none.

  Raises:
    RecordError: they cannot be written.
  """
  outputs.write(
    pathlib.Path(folder, 'sweep'),
    {'.csv': table, '.md': f'{markdown(table)}\n'},
    sweep_figure.plot(table),
  )
