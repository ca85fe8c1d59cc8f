"""Arguments of the calls of `hyper`: checked; errors name the call."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from normlab import errors

# A slip in a product should be an error, and not fill the memory.
MOST_ROWS = 100_000


def check_domains(call: str, domains: Any, seed: Any) -> None:
  """Refuses what cannot be drawn from, or with.

  Raises:
    errors.ConfigError: see above.
  """
  if not isinstance(domains, Mapping):
    raise errors.ConfigError(
      f'hyper.{call}({errors.shown(domains)}): must be a dictionary of keys '
      'and domains'
    )
  is_whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
  if not is_whole or seed < 0:
    raise errors.ConfigError(
      f'hyper.{call}: seed={errors.shown(seed)} is not allowed: must be a '
      'whole number of at least 0'
    )
  for key, domain in domains.items():
    if not hasattr(domain, 'at'):
      raise errors.ConfigError(
        f'hyper.{call}: {errors.shown(key)} is {errors.shown(domain)}; must be '
        'hyper.uniform, loguniform, integers or choice'
      )


def checked_sweeps(call: str, sweeps: Any) -> list[tuple[dict[str, Any], ...]]:
  """The sweeps as tuples of rows.

  Raises:
    errors.ConfigError: one sweep in place of a list of them, or other things.
  """
  if not isinstance(sweeps, Iterable) or isinstance(sweeps, str | Mapping):
    raise errors.ConfigError(
      f'hyper.{call}({errors.shown(sweeps)}): the argument must be a list of '
      'sweeps'
    )
  parts = []
  for part in sweeps:
    rows = None if isinstance(part, str | Mapping) else listed(part)
    if rows is None or not all(isinstance(row, Mapping) for row in rows):
      raise errors.ConfigError(
        f'hyper.{call}: {errors.shown(part)} is no sweep; the argument must be '
        'a list of sweeps'
      )
    parts.append(tuple(dict(row) for row in rows))
  return parts


def listed(values: Any) -> list[Any] | None:
  """The values as a list; None where they are none."""
  return list(values) if isinstance(values, Iterable) else None


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
    errors.ConfigError: not a whole number, or not an allowed one.
  """
  is_whole = isinstance(num, int | np.integer) and not isinstance(num, bool)
  if is_whole and 1 <= num <= MOST_ROWS:
    return int(num)
  raise errors.ConfigError(
    f'hyper.{call}: {name}={errors.shown(num)} is not allowed: must be a whole '
    f'number from 1 to {MOST_ROWS:,}'
  )


def check_ends(
  call: str, low: Any, high: Any, *, positive: bool, rising: bool = False
) -> None:
  """Refuses ends of a range that are no numbers, or not in order.

  Raises:
    errors.ConfigError: see above.
  """
  rules: dict[str, Callable[[], bool]] = {
    'finite numbers': lambda: all(map(is_finite_number, (low, high))),
    'above 0 (the numbers themselves, not their logarithms)': lambda: (
      not positive or min(low, high) > 0
    ),
    'in rising order': lambda: not rising or low <= high,
  }
  for rule, holds in rules.items():
    if not holds():
      raise errors.ConfigError(
        f'hyper.{call}({errors.shown(low)}, {errors.shown(high)}): the ends '
        f'must be {rule}'
      )


def is_finite_number(value: Any) -> bool:
  """Whether this is an int or float, of Python or NumPy, and finite."""
  is_number = isinstance(value, int | float | np.number)
  return is_number and not isinstance(value, bool) and math.isfinite(value)
