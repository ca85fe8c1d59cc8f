"""Looks names up in tables, with errors that help.

Every part of normlab that is chosen by name (norms, models, optimizers,
schedules, data sets, experiments) says the same thing when a name is wrong.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from normlab.errors import LONGEST_SHOWN, ConfigError, shown

T = TypeVar('T')


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
  known = list(known)
  near = nearest(name, known)
  hint = f'; did you mean {near!r}?' if near else ';'
  return f'unknown {kind} {shown(name)}{hint} known: {", ".join(known)}'


def nearest(name: str, known: Iterable[str]) -> str | None:
  """The known name that is most like `name`; None where none is like it."""
  text = name[:LONGEST_SHOWN] if isinstance(name, str) else shown(name)
  found = difflib.get_close_matches(text, list(known), n=1, cutoff=0.5)
  return found[0] if found else None


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
  """Names of the keyword arguments that a function declares."""
  return list(inspect.signature(function).parameters)


def missing_arguments(
  function: Callable[..., Any], fields: Mapping[str, Any]
) -> list[str]:
  """Names of the arguments that have no default and are not in `fields`."""
  return [
    name
    for name, parameter in inspect.signature(function).parameters.items()
    if parameter.default is parameter.empty and name not in fields
  ]
