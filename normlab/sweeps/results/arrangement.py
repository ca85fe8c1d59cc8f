"""Arrangement of a figure: the swept field along x, and those of its lines."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pandas as pd

from normlab.analysis import line_styles

NORM = 'norm.name'
SEED = 'seed'
# Fields that are shown along x if they are swept.
FIRST = ('optimizer.learning_rate_multiplier', 'optimizer.learning_rate')
LABELS = {
  'optimizer.learning_rate_multiplier': 'learning-rate multiplier',
  'batch_size': 'batch size (examples)',
  'total_steps': 'length of the run (training steps)',
  'schedule.warmup_steps': 'warm-up (training steps)',
  'model.width': 'width (factor on the channels)',
  NORM: 'norm',
}
# Numbers with more values than this have no line per value.
MOST_LINES = 6


class Layout(NamedTuple):
  """How the runs of a sweep are arranged.

  Attributes:
    x: the field along x; None where all runs have the same place.
    lines: the fields that tell lines apart.
    connected: whether the points of a line differ in x and seed only.
    hidden: further fields that were swept.
  """

  x: str | None
  lines: tuple[str, ...]
  connected: bool
  hidden: tuple[str, ...] = ()


class Line(NamedTuple):
  """One line of the figure.

  Attributes:
    label: for the legend.
    style: of the line and its marks.
    runs: rows of the table.
  """

  label: str
  style: dict[str, Any]
  runs: pd.DataFrame


def layout(table: pd.DataFrame, fields: Iterable[str]) -> Layout:
  """Arranges the runs, one per row; seeds are the bands.

  Args:
    fields: the columns that were swept.
  """
  varied = [f for f in fields if f != SEED and distinct(table, [f]) > 1]
  x = field_along_x(table, varied)
  # As lines: a norm has a colour of its own also where it is what x shows.
  lines = [NORM] if NORM in varied else []
  connected = x is None or is_numeric(table[x])
  hidden = []
  for field in sorted(set(varied) - {x, NORM}, key=varied.index):
    # A setting of each norm, for example, makes no further lines.
    is_shown = distinct(table, [*lines, field]) == distinct(table, lines)
    if is_shown or follows_x(table, field, x):
      continue
    if is_numeric(table[field]) and distinct(table, [field]) > MOST_LINES:
      connected = False
      hidden.append(field)
    else:
      lines.append(field)
  return Layout(x, tuple(lines), connected, tuple(hidden))


def follows_x(table: pd.DataFrame, field: str, x: str | None) -> bool:
  """Whether a number rises or falls with x, as one that is zipped with it."""
  if x is None or not is_numeric(table[x]) or not is_numeric(table[field]):
    return False
  pairs = table[[x, field]].drop_duplicates().sort_values(x)
  values = pairs[field]
  is_function = not pairs[x].duplicated().any()
  rises, falls = values.is_monotonic_increasing, values.is_monotonic_decreasing
  return is_function and (rises or falls)


def field_along_x(table: pd.DataFrame, varied: list[str]) -> str | None:
  """The learning rate, else the number, else the field with most values."""
  numeric = [field for field in varied if is_numeric(table[field])]
  for field in FIRST:
    if field in numeric:
      return field
  choices = numeric or varied
  counts = {field: distinct(table, [field]) for field in choices}
  return max(counts, key=counts.get, default=None)


def is_numeric(values: pd.Series) -> bool:
  """Whether all values are numbers."""
  return all(
    isinstance(value, int | float) and not isinstance(value, bool)
    for value in values.tolist()
  )


def distinct(table: pd.DataFrame, fields: list[str]) -> int:
  """The number of combinations of values; also of lists, and of None."""
  return len(set(map(repr, table[fields].to_numpy(dtype=object).tolist())))


def label_of(field: str | None) -> str:
  """The text at an axis."""
  if field is None:
    return ''
  return LABELS.get(field, field.rpartition('.')[2].replace('_', ' '))


def lines_of(table: pd.DataFrame, found: Layout) -> Iterator[Line]:
  """The lines, in the order of their first runs."""
  keys = [
    tuple(map(value_text, row))
    for row in table[list(found.lines)].to_numpy(dtype=object).tolist()
  ]
  order = list(dict.fromkeys(keys))
  others = list(dict.fromkeys(others_of(key, found.lines) for key in order))
  for number, key in enumerate(order):
    runs = table[[own == key for own in keys]]
    other = others.index(others_of(key, found.lines))
    style = line_style(runs, found.lines, number)
    if NORM in found.lines and len(others) > 1:
      style |= line_styles.line_and_mark(other)
    yield Line(line_label(key, found.lines, runs), style, runs)


def others_of(key: tuple[str, ...], fields: tuple[str, ...]) -> tuple[str, ...]:
  """The values of all fields but the norm's."""
  return tuple(v for v, f in zip(key, fields, strict=True) if f != NORM)


def line_label(
  key: tuple[str, ...], fields: tuple[str, ...], runs: pd.DataFrame
) -> str:
  """The text in the legend: 'batch, batch size (examples) 32'."""
  parts = [
    value if field == NORM else f'{label_of(field)} {value}'
    for value, field in zip(key, fields, strict=True)
  ]
  if not parts and NORM in runs:
    parts = [value_text(runs[NORM].iloc[0])]
  return ', '.join(parts) or 'all runs'


def line_style(
  runs: pd.DataFrame, fields: tuple[str, ...], number: int
) -> dict[str, Any]:
  """The norm's own colour and mark; of a line without one, by its number."""
  if NORM not in fields and (fields or NORM not in runs):
    return line_styles.numbered_style(number)
  return line_styles.marked_style(str(runs[NORM].iloc[0]))


def value_text(value: Any) -> str:
  """A value in a legend or at a tick."""
  return f'{value:.6g}' if isinstance(value, float) else str(value)
