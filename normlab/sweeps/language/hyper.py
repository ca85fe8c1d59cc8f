"""The language of sweeps, for `get_hyper(hyper)` in a config module.

The functions have the names that configs of big_vision and scenic call:

  def get_hyper(hyper):
    return hyper.product([
      hyper.sweep('config.norm.name', ['none', 'batch']),
      hyper.sweep('config.optimizer.learning_rate_multiplier', [1, 5, 30]),
    ])

What they make is plain data, a tuple of rows: each is a dictionary of
overrides, and becomes a run. `plan.members` checks them against the config.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from normlab import errors

# A slip in a product is an error, and does not fill the memory.
MOST_ROWS = 100_000

Row = dict[str, Any]
Rows = tuple[Row, ...]


def sweep(key: str, values: Iterable[Any]) -> Rows:
  """One row per value; the key is that of a field, as 'config.norm.name'.

  Raises:
    errors.ConfigError: no values, or something that is no list of values.
  """
  call = f'hyper.sweep({errors.shown(key)}, {errors.shown(values)})'
  if not is_list(values):
    raise errors.ConfigError(f'{call}: the values must be a list')
  listed = bounded(call, values)
  rows = tuple({checked_key(key): plain(value)} for value in listed)
  if not rows:
    raise errors.ConfigError(f'{call}: there are no values')
  return rows


def fixed(key: str, value: Any, length: int = 1) -> Rows:
  """The same override in `length` rows.

  Raises:
    errors.ConfigError: a bad `length`.
  """
  number = checked_number('fixed', length, name='length')
  return tuple({checked_key(key): plain(value)} for _ in range(number))


def product(sweeps: Sequence[Rows]) -> Rows:
  """Each row of the first with each of the second, and so on.

  The last sweep varies fastest.

  Raises:
    errors.ConfigError: two sweeps that set the same key, or too many rows.
  """
  parts = checked_sweeps('product', sweeps)
  number = math.prod(map(len, parts))
  if number > MOST_ROWS:
    raise errors.ConfigError(
      f'hyper.product: {number:,} rows are too many; allowed are {MOST_ROWS:,}'
    )
  combined = itertools.product(*parts)
  return tuple(joined('product', rows) for rows in combined)


def zipit(sweeps: Sequence[Rows]) -> Rows:
  """The first rows of all together, then the second rows, and so on.

  A sweep of one row, as `fixed` makes, goes with every row of the others.

  Raises:
    errors.ConfigError: sweeps of other lengths, or two that set the same key.
  """
  parts = checked_sweeps('zipit', sweeps)
  lengths = sorted({len(rows) for rows in parts} - {1}) or [1]
  if len(lengths) > 1:
    found = ', '.join(str(len(rows)) for rows in parts)
    raise errors.ConfigError(
      f'hyper.zipit: the sweeps have {found} rows; they must have equally '
      'many, or one'
    )
  even = [rows * lengths[0] if len(rows) == 1 else rows for rows in parts]
  return tuple(joined('zipit', rows) for rows in zip(*even, strict=True))


def chainit(sweeps: Iterable[Rows]) -> Rows:
  """The rows of the first, then those of the second, and so on."""
  return tuple(itertools.chain(*checked_sweeps('chainit', sweeps)))


def logspace(low: float, high: float, num: int) -> tuple[float, ...]:
  """`num` numbers from `low` to `high`, both included, by equal factors.

  The ends are the numbers themselves, as in `numpy.geomspace`, and not their
  logarithms: `logspace(0.1, 100, 4)` is 0.1, 1, 10, 100.

  Raises:
    errors.ConfigError: ends that are not positive, or a bad `num`.
  """
  for end in (low, high):
    is_number = isinstance(end, int | float | np.number)
    if not (is_number and 0 < end < math.inf):
      raise errors.ConfigError(
        f'hyper.logspace({errors.shown(low)}, {errors.shown(high)}): the ends '
        'must be finite and above 0 (the numbers, not their logarithms)'
      )
  grid = np.geomspace(low, high, checked_number('logspace', num))
  # From 0.1 to 100 it makes 9.999999999999998; twelve digits are enough.
  inner = [float(f'{value:.12g}') for value in grid[1:-1].tolist()]
  return tuple([float(low), *inner, float(high)][: len(grid)])


def joined(call: str, rows: Iterable[Row]) -> Row:
  """One row with the overrides of several."""
  merged: Row = {}
  for row in rows:
    twice = merged.keys() & row.keys()
    if twice:
      raise errors.ConfigError(
        f'hyper.{call}: {min(twice)!r} is set by two of the sweeps; by one only'
      )
    merged |= row
  return merged


def plain(value: Any) -> Any:
  """NumPy's scalars as Python's, lists as tuples; all else as it is."""
  if isinstance(value, np.generic):
    return value.item()
  if isinstance(value, list | np.ndarray):
    return tuple(plain(item) for item in value)
  return value


def checked_sweeps(call: str, sweeps: Any) -> list[Rows]:
  """The sweeps as tuples of rows.

  Raises:
    errors.ConfigError: one sweep in place of a list of them, or other things.
  """
  if not is_list(sweeps):
    raise errors.ConfigError(
      f'hyper.{call}({errors.shown(sweeps)}): the argument must be a list of '
      'sweeps'
    )
  parts = []
  for part in bounded(f'hyper.{call}', sweeps):
    rows = bounded(f'hyper.{call}', part) if is_list(part) else [part]
    if not is_list(part) or not all(isinstance(row, Mapping) for row in rows):
      raise errors.ConfigError(
        f'hyper.{call}: {errors.shown(part)} is no sweep; the argument must be '
        'a list of sweeps'
      )
    parts.append(tuple(dict(row) for row in rows))
  return parts


def is_list(values: Any) -> bool:
  """Whether these are several things; a text or a dictionary is one."""
  return isinstance(values, Iterable) and not isinstance(values, str | Mapping)


def bounded(call: str, values: Iterable[Any]) -> list[Any]:
  """The values as a list.

  Raises:
    errors.ConfigError: more than `MOST_ROWS`; a generator may have no end.
  """
  found = list(itertools.islice(values, MOST_ROWS + 1))
  if len(found) > MOST_ROWS:
    raise errors.ConfigError(
      f'{call}: more than {MOST_ROWS:,} are too many for a sweep'
    )
  return found


def checked_key(key: Any) -> str:
  """The key.

  Raises:
    errors.ConfigError: it is not a text.
  """
  if isinstance(key, str) and key:
    return key
  raise errors.ConfigError(
    f'{errors.shown(key)} is no key of a sweep; must be a text, as '
    "'config.norm.name'"
  )


def checked_number(call: str, num: Any, *, name: str = 'num') -> int:
  """The number of values or rows.

  Raises:
    errors.ConfigError: not a whole number from 1 to `MOST_ROWS`.
  """
  is_whole = isinstance(num, int | np.integer) and not isinstance(num, bool)
  if is_whole and 1 <= num <= MOST_ROWS:
    return int(num)
  raise errors.ConfigError(
    f'hyper.{call}: {name}={errors.shown(num)} is not allowed: must be a whole '
    f'number from 1 to {MOST_ROWS:,}'
  )
