"""The language of sweeps, for `get_hyper(hyper)` in a config module.

The functions have the names that configs of big_vision and scenic call:

  def get_hyper(hyper):
    return hyper.product([
      hyper.sweep('config.norm.name', ['none', 'batch']),
      hyper.sweep('config.optimizer.learning_rate_multiplier', [1, 5, 30]),
    ])

They return plain data, a tuple of rows. Each row is a dictionary of overrides,
and becomes a run; `members` checks them against the config.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import qmc

from normlab import errors
from normlab.sweeps.language.arguments import (
  MOST_ROWS,
  bounded,
  check_domains,
  check_ends,
  checked_key,
  checked_number,
  checked_sweeps,
)
from normlab.sweeps.language.domains import (
  Choice,
  Domain,
  Integers,
  LogUniform,
  Uniform,
)

Row = dict[str, Any]
Rows = tuple[Row, ...]


def sweep(key: str, values: Iterable[Any]) -> Rows:
  """One row a value.

  Args:
    key: of a config field, as 'config.norm.name'.
    values: a list, `logspace`, `choice` and the like.

  Raises:
    errors.ConfigError: no values, or something that is no list of values.
  """
  call = f'hyper.sweep({errors.shown(key)}, {errors.shown(values)})'
  if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
    raise errors.ConfigError(f'{call}: the values must be a list')
  if isinstance(values, Uniform | LogUniform | Integers):
    raise errors.ConfigError(
      f'{call}: a range has no list of values; draw from it with hyper.random '
      'or hyper.quasirandom'
    )
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


def linspace(low: float, high: float, num: int) -> tuple[float, ...]:
  """`num` numbers from `low` to `high`, both included, in equal steps.

  Raises:
    errors.ConfigError: ends that are no finite numbers, or a bad `num`.
  """
  check_ends('linspace', low, high, positive=False)
  return tuple(np.linspace(low, high, checked_number('linspace', num)).tolist())


def logspace(low: float, high: float, num: int) -> tuple[float, ...]:
  """`num` numbers from `low` to `high`, both included, by equal factors.

  The ends are the numbers themselves, as for `numpy.geomspace`, and not their
  logarithms: `logspace(0.1, 100, 4)` is 0.1, 1, 10, 100.

  Raises:
    errors.ConfigError: ends that are not positive, or a bad `num`.
  """
  check_ends('logspace', low, high, positive=True)
  grid = np.geomspace(low, high, checked_number('logspace', num))
  # From 0.1 to 100 it makes 9.999999999999998; twelve digits are enough.
  inner = [float(f'{value:.12g}') for value in grid[1:-1].tolist()]
  return tuple([float(low), *inner, float(high)][: len(grid)])


def choice(values: Iterable[Any]) -> Choice:
  """Some values, for `random` and `quasirandom`; `sweep` takes each in order.

  Raises:
    errors.ConfigError: no values.
  """
  if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
    raise errors.ConfigError(
      f'hyper.choice({errors.shown(values)}): the values must be a list'
    )
  known = tuple(map(plain, bounded('hyper.choice', values)))
  if not known:
    raise errors.ConfigError('hyper.choice: there are no values')
  return Choice(known)


def uniform(low: float, high: float) -> Uniform:
  """The numbers from `low` to `high`, for `random` and `quasirandom`.

  Raises:
    errors.ConfigError: ends that are no finite numbers in this order.
  """
  check_ends('uniform', low, high, positive=False, rising=True)
  return Uniform(float(low), float(high))


def loguniform(low: float, high: float) -> LogUniform:
  """The same, uniform in the logarithm: as many from 1 to 10 as from 10 to 100.

  Raises:
    errors.ConfigError: ends that are no positive numbers in this order.
  """
  check_ends('loguniform', low, high, positive=True, rising=True)
  return LogUniform(float(low), float(high))


def integers(low: int, high: int) -> Integers:
  """The whole numbers from `low` to `high`, both included.

  Raises:
    errors.ConfigError: ends that are no whole numbers in this order.
  """
  check_ends('integers', low, high, positive=False, rising=True)
  if low != int(low) or high != int(high):
    raise errors.ConfigError(
      f'hyper.integers({low!r}, {high!r}): the ends must be whole numbers'
    )
  return Integers(int(low), int(high))


def random(domains: Mapping[str, Domain], num: int, seed: int = 0) -> Rows:
  """`num` rows, drawn independently.

  Args:
    domains: key to `uniform`, `loguniform`, `integers` or `choice`.
    num: of rows; the rows of a smaller number are the first of a larger one.
    seed: of the draws; the same seed draws the same rows.

  Raises:
    errors.ConfigError: something that cannot be drawn from, or a bad `num`.
  """
  check_domains('random', domains, seed)
  shape = checked_number('random', num), len(domains)
  return draws(domains, np.random.default_rng(seed).random(shape))


def quasirandom(domains: Mapping[str, Domain], num: int, seed: int = 0) -> Rows:
  """`num` rows that cover the domains more evenly than random ones.

  A scrambled Halton sequence, which leaves smaller gaps for the same number of
  runs (Bousquet et al. 2017, arXiv:1706.03200). Arguments as for `random`.

  Raises:
    errors.ConfigError: as `random`.
  """
  check_domains('quasirandom', domains, seed)
  number = checked_number('quasirandom', num)
  if not domains:
    return draws(domains, np.zeros((number, 0)))
  sequence = qmc.Halton(len(domains), scramble=True, rng=seed)
  return draws(domains, sequence.random(number))


def draws(domains: Mapping[str, Domain], u: np.ndarray) -> Rows:
  """Rows from quantiles, [rows, domains]."""
  return tuple(
    {
      checked_key(key): domain.at(value)
      for (key, domain), value in zip(domains.items(), row, strict=True)
    }
    for row in u.tolist()
  )


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
