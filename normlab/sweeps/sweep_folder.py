"""The folder of a sweep, which says in sweep.json which sweep it holds."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from normlab import errors, records
from normlab.sweeps.plan import Member
from normlab.sweeps.results import sweep_table


def check_usable(folder: pathlib.Path, planned: Sequence[Member]) -> None:
  """Refuses a folder that this sweep must not write to.

  Raises:
    RecordError: it holds another sweep, a run, or results of something else.
  """
  stored = stored_plan(folder)
  if stored is None:
    ours = (records.CONFIG, *sweep_table.FILES)
    strangers = [name for name in ours if (folder / name).exists()]
    if strangers:
      raise records.RecordError(
        f'workdir {str(folder)!r} holds {strangers[0]} but no '
        f'{records.SWEEP}, so it is no sweep that can be continued; choose '
        'another --workdir'
      )
    return
  here = described(planned)
  if stored['runs'].keys() != here['runs'].keys():
    raise records.RecordError(
      f'workdir {str(folder)!r} holds another sweep ('
      f'{difference(stored, here)}); choose another --workdir'
    )


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
  """The difference of two sweeps, as `described` returns them, in words."""
  for field in there['config'].keys() & here['config'].keys():
    values = there['config'][field], here['config'][field]
    if values[0] != values[1]:
      return f'config.{field} is {values[0]!r} there, {values[1]!r} here'
  only_there = there['runs'].keys() - here['runs'].keys()
  only_here = here['runs'].keys() - there['runs'].keys()
  sizes = f'of {len(there["runs"])} runs, and this one has {len(here["runs"])}'
  if only_there:
    return f'{sizes}; {there["runs"][min(only_there)]} is only there'
  return f'{sizes}; {here["runs"][min(only_here)]} is only here'


def stored_plan(folder: pathlib.Path) -> dict[str, Any] | None:
  """The stored `described` of the sweep in a folder; None without one.

  Raises:
    RecordError: its file is damaged.
  """
  path = folder / records.SWEEP
  try:
    plan = json.loads(path.read_text(encoding='utf-8'))
    return {part: {**plan[part]} for part in ('config', 'runs')}
  except (FileNotFoundError, NotADirectoryError):
    return None
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise records.RecordError(
      f'{str(path)!r} is damaged ({errors.one_line(str(error))}); choose '
      'another --workdir'
    ) from error


def described(planned: Sequence[Member]) -> dict[str, Any]:
  """A sweep as plain JSON values.

  Returns:
    'config': the fields, by path, that are the same in all runs; 'runs': the
    overrides of each, by what it is known by, whatever its label.
  """
  flat = [
    records.comparable(records.resolved(member.config)) for member in planned
  ]
  return {
    'config': {
      field: value
      for field, value in flat[0].items()
      if all(other.get(field) == value for other in flat)
    },
    'runs': {
      records.identity(member.config): member.overrides for member in planned
    },
  }


def write_plan(folder: pathlib.Path, planned: Sequence[Member]) -> None:
  """Says in the folder which sweep it holds.

  Raises:
    RecordError: it cannot be written.
  """
  path = folder / records.SWEEP
  try:
    records.write_json(path, described(planned))
  except OSError as error:
    raise records.RecordError(
      f'{str(path)!r} cannot be written: {error.strerror}'
    ) from error
