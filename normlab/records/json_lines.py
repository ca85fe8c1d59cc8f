"""The rows of a file: one JSON object a line."""

import json
from typing import Any

Row = dict[str, Any]


def parse(content: bytes) -> list[Row | None]:
  """The object of each line; None where the line is torn or damaged."""
  rows = _parse_at_once(content)
  if rows is not None:
    return rows
  return [_parse_line(line) for line in content.splitlines(keepends=True)]


def _parse_at_once(content: bytes) -> list[Row] | None:
  """The objects of all lines; None where any line is torn or damaged.

  Nearly twice as fast as one line after another, which is what finds the line.
  """
  lines = content.count(b'\n')
  # Damaged lines may be objects together, but they do not begin and end as one.
  if not content.endswith(b'}\n') or content.count(b'}\n{') != lines - 1:
    return None
  try:
    rows = json.loads(b'[' + content[:-1].replace(b'\n', b',') + b']')
  except ValueError:
    return None
  whole = len(rows) == lines and all(isinstance(row, dict) for row in rows)
  return rows if whole else None


def _parse_line(line: bytes) -> Row | None:
  try:
    row = json.loads(line)
  except ValueError:
    return None
  return row if isinstance(row, dict) and line.endswith(b'\n') else None
