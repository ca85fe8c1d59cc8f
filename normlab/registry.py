"""Finds what a name stands for: in a table, or own code by its import path.

Norms, models, optimizers, schedules, data sets and experiments are chosen by
name; a wrong name gets the same error everywhere.
"""

import difflib
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from normlab import own_code
from normlab.errors import LONGEST_SHOWN, ConfigError, shown

T = TypeVar('T')
# What is less alike is not suggested.
ALIKE = 0.5


def find(kind: str, name: str, table: Mapping[str, T]) -> T:
  """What a name stands for.

  Args:
    kind: what is chosen, in the words of the error ('norm').
    name: a key of the table, or 'MODULE:NAME' of own code, which is imported
      and must be a class or a function.

  Raises:
    ConfigError: an unknown name, or why the import fails.
  """
  if own_code.is_import_path(name):
    return own_code.function(kind, name)
  return lookup(kind, name, table)


def lookup(kind: str, name: str, table: Mapping[str, T]) -> T:
  """Returns `table[name]`.

  Args:
    kind: what the table holds, in the words of the error ('norm').

  Raises:
    ConfigError: an unknown name; lists the known ones and the nearest.
  """
  # A list is no name, and cannot be looked up at all.
  if isinstance(name, str) and name in table:
    return table[name]
  raise ConfigError(unknown(kind, name, table))


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
  """Says that `name` is unknown, which is the nearest, and which are known."""
  known = tuple(known)
  near = nearest(name, known)
  hint = f'; did you mean {near[0]!r}?' if near else ';'
  return f'unknown {kind} {shown(name)}{hint} known: {", ".join(known)}'


def nearest(name: Any, known: tuple[str, ...], most: int = 1) -> list[str]:
  """The known names most like `name`, or like the last part of its path."""
  if not isinstance(name, str):
    return []
  ratios = likenesses(name[:LONGEST_SHOWN], known)
  found = sorted(known, key=lambda k: ratios[k], reverse=True)[:most]
  return [k for k in found if ratios[k][0] >= ALIKE]


# Thousands of rows of a sweep can have the same slip.
@functools.lru_cache(maxsize=64)
def likenesses(
  name: str, known: tuple[str, ...]
) -> dict[str, tuple[float, float]]:
  """How much each known path is like a name: at best, and as a whole."""

  def of(path: str) -> tuple[float, float]:
    pairs = (name, path), (name.rpartition('.')[2], path.rpartition('.')[2])
    ratios = [difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs]
    return max(ratios), ratios[0]

  return {path: of(path) for path in known}


def check_fields(
  owner: str, fields: Mapping[str, Any], known: Iterable[str]
) -> None:
  """Refuses a field that its owner does not have.

  Args:
    owner: whose fields these are, in the words of the error ("norm 'batch'").

  Raises:
    ConfigError: an unknown field; lists the known ones and the nearest.
  """
  known = list(known)
  for field, value in fields.items():
    if field not in known:
      problem = unknown('field', field, known or ['(none)'])
      raise ConfigError(f'{owner}: {problem} (got {field}={shown(value)})')


def arguments(function: Callable[..., Any]) -> list[str]:
  """Names of the arguments that a function or class declares."""
  return list(own_code.parameters(function))


def missing_arguments(
  function: Callable[..., Any], fields: Mapping[str, Any]
) -> list[str]:
  """Names of the arguments that have no default and are not in `fields`."""
  return [
    name
    for name, parameter in own_code.parameters(function).items()
    if parameter.default is parameter.empty and name not in fields
  ]
