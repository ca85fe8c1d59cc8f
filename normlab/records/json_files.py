"""JSON of a run: rows, one object per line, and files of one object."""

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from normlab.errors import shown

Row = dict[str, Any]
# A run that ended in one of these has its result, and is not trained again.
FINISHED = ('done', 'diverged')


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
  """The problem of a value that is no row, in words; '' for a row.

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


def status_problem(status: dict[str, Any]) -> str:
  """What a status lacks that its readers rely on; '' for a status."""
  name = status.get('status')
  if name not in (*FINISHED, 'running', 'failed', 'interrupted'):
    return f'the status is {shown(name)}'
  needed = ('step', 'rows') if name in FINISHED else ()
  for field in ('step', 'rows'):
    if field in (*needed, *status) and not is_count(status.get(field)):
      return f'{field} is {shown(status.get(field))} of a run that is {name}'
  if not isinstance(status.get('error', ''), str):
    return f'error is {shown(status["error"])}'
  return ''


def write_json(path: pathlib.Path, value: dict[str, Any]) -> None:
  """Writes a file as a whole: no reader sees half of it.

  Raises:
    OSError: it cannot be written.
  """
  with replacing(path) as hidden:
    (hidden / path.name).write_text(as_text(value), encoding='utf-8')


@contextlib.contextmanager
def replacing(*paths: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields a hidden folder to write files in, which move to `paths` at the end.

  An error leaves the files of before. What a process leaves that is killed
  meanwhile, the next one removes.

  Args:
    *paths: in one folder.
  """
  hidden = paths[0].with_name(f'.{paths[0].name}.tmp')
  shutil.rmtree(hidden, ignore_errors=True)
  try:
    hidden.mkdir()
    yield hidden
    for path in paths:
      with (hidden / path.name).open('rb') as file:
        os.fsync(file.fileno())  # Before the move, or it may move nothing.
      (hidden / path.name).replace(path)
  finally:
    shutil.rmtree(hidden, ignore_errors=True)


def as_text(value: dict[str, Any]) -> str:
  """JSON as people read it."""
  return json.dumps(value, indent=2) + '\n'
