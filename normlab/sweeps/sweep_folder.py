"""A sweep: rows of `get_hyper` and a work directory in, results out."""

import json
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import ml_collections
import pandas as pd

from normlab import errors, records
from normlab.sweeps.language import hyper
from normlab.sweeps.plan import Member, checked_rows, members, merged_note
from normlab.sweeps.results import outcomes
from normlab.sweeps.runners.interface import Runner
from normlab.sweeps.train_all import carry_out, checked


def rows_of(module: ModuleType) -> list[dict[str, Any]]:
  """The rows of `get_hyper(hyper)` of a config file.

  Raises:
    errors.ConfigError: there is no such function, it fails, or what it returns
      are not rows.
  """
  get_hyper, file = getattr(module, 'get_hyper', None), module.__file__
  if not callable(get_hyper):
    raise errors.ConfigError(
      f'--config={file} has no function get_hyper(hyper), which says what is '
      'swept; configs/lr_multipliers/digits.py is an example'
    )
  # A generator runs where its rows are listed.
  with errors.users_code(f'get_hyper of {file}', file):
    return checked_rows(get_hyper(hyper))


def plan(
  config: ml_collections.ConfigDict, rows: Iterable[Mapping[str, Any]]
) -> list[Member]:
  """The members of a sweep; says on standard error which rows are the same.

  Raises:
    errors.ConfigError: as `plan.members`.
  """
  found = members(config, rows)
  for note in filter(None, map(merged_note, found)):
    print(f'note: {note}', file=sys.stderr)
  return found


def sweep(
  planned: Sequence[Member],
  workdir: str,
  *,
  runner: Runner,
  target: float | None = None,
  stop: Callable[[], bool] = lambda: False,
) -> pd.DataFrame:
  """Trains all members that have no result, and writes what came of all.

  Args:
    planned: of `plan`.
    workdir: folder of the sweep, with a folder a member.
    runner: what trains them.
    target: accuracy in [0, 1] of the column 'steps_to_target'; None is the best
      of the first run that has a result.
    stop: whether to save all states and end.

  Returns:
    The table, one row per run: see `results.table`.

  Raises:
    errors.ConfigError, records.RecordError: a config, a folder or a cluster
      that cannot be used; nothing is written.
    InterruptedSweep: as `stop` said so.
  """
  folder = pathlib.Path(workdir)
  check_usable(folder, planned)
  work = checked(
    {str(folder / member.name): member.config for member in planned}, runner
  )
  with records.Record(folder).locked():
    write_plan(folder, planned)
    problems = carry_out(work, stop)
    overrides = [member.overrides for member in planned]
    runs = list(zip(overrides, work.found.values(), strict=True))
    table = outcomes.table(runs, target=target, problems=problems)
    outcomes.write(table, folder)
  return table


def check_usable(folder: pathlib.Path, planned: Sequence[Member]) -> None:
  """Refuses a folder that this sweep must not write to.

  Raises:
    RecordError: it holds another sweep, a run, or results of something else.
  """
  stored = stored_plan(folder)
  if stored is None:
    ours = (records.CONFIG, *outcomes.FILES)
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
  """The first difference of two sweeps; both as `described` has them."""
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
  """The result of `described` in a sweep's folder; None if there is none.

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
      if all(other[field] == value for other in flat)
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
