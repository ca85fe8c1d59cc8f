"""The rows of a file: one JSON object a line, with a step and a split."""

import json
from typing import Any

from normlab.errors import shown

Row = dict[str, Any]


def parse(content: bytes) -> tuple[list[Row], str]:
  """The rows in front of the first damaged line.

  A last line without its end is left out: its run was stopped while writing.

  Returns:
    The rows; and what is wrong with the line behind them, '' for all rows.
  """
  rows = []
  for number, line in enumerate(content.split(b'\n')[:-1], start=1):
    row, problem = parse_row(line)
    if row is None:
      return rows, f'line {number} {problem}'
    rows.append(row)
  return rows, ''


def parse_row(line: bytes) -> tuple[Row | None, str]:
  """The row of a line; or None, and what is wrong with it."""
  try:
    row = loads(line)
  except ValueError:
    return None, 'is not JSON'
  problem = row_problem(row)
  return (None, problem) if problem else (row, '')


def loads(text: str | bytes) -> Any:
  """The value of a JSON text; ValueError also where it is nested too deeply."""
  try:
    return json.loads(text)
  except RecursionError as error:
    raise ValueError('nested too deeply') from error


def row_problem(row: Any) -> str:
  """What a row lacks that its readers rely on; '' for a row.

  A row has a step, a split and values: numbers, None where they were not
  finite, or a list of such. An accuracy is always a number.
  """
  if not isinstance(row, dict):
    return 'is not an object'
  step, split = row.get('step'), row.get('split')
  if not is_count(step):
    return f'has the step {shown(step)}'
  if not isinstance(split, str):
    return f'has the split {shown(split)}'
  needed = ('accuracy', 'loss') if split in ('validation', 'test') else ()
  for name in needed:
    if name not in row:
      return f'has no {name}'
  for name, value in row.items():
    if name not in ('step', 'split') and not _is_value(name, value):
      return f'has the {name} {shown(value)}'
  return ''


def is_count(value: Any) -> bool:
  """Whether a value is a whole number of at least 0."""
  return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_number(value: Any) -> bool:
  """Whether a value is a number."""
  return isinstance(value, int | float) and not isinstance(value, bool)


def _is_value(name: str, value: Any) -> bool:
  if isinstance(value, list):
    return all(v is None or is_number(v) for v in value)
  return is_number(value) or (value is None and name != 'accuracy')
