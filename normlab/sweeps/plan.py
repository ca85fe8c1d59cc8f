"""The runs of a sweep: the rows of `get_hyper` in the config, checked."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import ml_collections

from normlab import errors, records, validation
from normlab.sweeps.language import hyper
from normlab.validation import fields, overrides

PREFIX = 'config.'
# Longest label of a folder, before the hash: file systems take 255.
LONGEST_LABEL = 150


class Member(NamedTuple):
  """One run of a sweep.

  Attributes:
    rows: the rows that ask for it, from 1; most runs have one.
    overrides: path of a field to its value, as 'norm.name': 'batch'.
    config: with the overrides.
    name: of its folder, in the work directory of the sweep.
  """

  rows: tuple[int, ...]
  overrides: dict[str, Any]
  config: ml_collections.ConfigDict
  name: str


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
    rows = get_hyper(hyper)
    if not hyper.is_list(rows):
      raise errors.ConfigError(
        f'returns {errors.shown(rows)}; must be rows, as hyper.sweep, '
        'hyper.product and the like make them'
      )
    listed = hyper.bounded('get_hyper', rows)
    if not listed:
      raise errors.ConfigError('returns no rows; must be one at least')
    for number, row in enumerate(rows, start=1):
      if not isinstance(row, Mapping):
        raise errors.ConfigError(
          f'row {number} is {errors.shown(row)}; must be a dictionary of '
          'overrides'
        )
  return [dict(row) for row in listed]


def members(
  config: ml_collections.ConfigDict, rows: Sequence[Mapping[str, Any]]
) -> list[Member]:
  """The runs of a sweep; rows with the same resolved config are one.

  Args:
    rows: of `rows_of`: keys, with or without 'config.' in front, to values.

  Raises:
    errors.ConfigError: every bad key and value, and every config that cannot
      be trained, with the rows that have it.
  """
  configs, checked, problems = [], [], []
  for number, row in enumerate(rows, start=1):
    overridden, found = override(config, row)
    configs.append(overridden)
    try:
      if not found:
        checked.append(validation.check(overridden))
    except errors.ConfigError as error:
      found = error.problems
    problems += [(problem, number) for problem in found]
  if problems:
    raise errors.ConfigError(*by_problem(problems, len(rows)))
  return [
    member._replace(
      config=checked[member.rows[0] - 1].but(label=member.config.label)
    )
    for member in named(rows, configs)
  ]


def override(
  config: ml_collections.ConfigDict, row: Mapping[Any, Any]
) -> tuple[ml_collections.ConfigDict, list[str]]:
  """A config with the overrides of a row, and what is wrong with those."""
  changed, problems = config.copy_and_resolve_references(), []
  kinds = records.types(config)
  seen: dict[str, Any] = {}
  for key, value in row.items():
    path = key.removeprefix(PREFIX) if isinstance(key, str) else key
    if path in seen:
      problem = f'config.{path} is set twice, as {key!r} and as {seen[path]!r}'
    else:
      problem = overrides.set_field(changed, path, value, kinds)
    seen[path] = key
    problems += [problem] if problem else []
  return changed, problems


def by_problem(problems: Iterable[tuple[str, int]], total: int) -> list[str]:
  """Each problem once, with the numbers of all rows that have it."""
  rows: dict[str, list[int]] = {}
  for problem, number in problems:
    rows.setdefault(problem, []).append(number)
  return [
    f'{in_rows(numbers, total)}: {problem}' for problem, numbers in rows.items()
  ]


def in_rows(numbers: Sequence[int], total: int | None = None) -> str:
  """Row numbers in words: 'row 3', 'rows 1-4, 7', 'all 12 rows'."""
  if len(numbers) == 1:
    return f'row {numbers[0]}'
  if len(numbers) == total:
    return f'all {total} rows'
  # Neighbours have the same difference to their place in the list.
  runs = itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
  parts = []
  for _, run in runs:
    found = [number for _, number in run]
    ends = [str(found[0]), str(found[-1])]
    parts.append('-'.join(ends[: min(len(found), 2)]))
  return f'rows {", ".join(parts)}'


def named(
  rows: Sequence[Mapping[str, Any]],
  configs: Sequence[ml_collections.ConfigDict],
) -> list[Member]:
  """The members, in the order of their first rows; equal configs are one."""
  numbers: dict[str, list[int]] = {}
  flat: dict[str, dict[str, Any]] = {}
  for number, config in enumerate(configs, start=1):
    key = records.identity(config)
    numbers.setdefault(key, []).append(number)
    flat.setdefault(key, records.flatten(config))
  swept = swept_fields(list(flat.values()))
  found = []
  for key, own in numbers.items():
    config = configs[own[0] - 1]
    paths = [path.removeprefix(PREFIX) for path in rows[own[0] - 1]]
    differing = {p: flat[key].get(p) for p in swept}
    config.label = label_of(config.label, differing)
    found.append(
      Member(
        rows=tuple(own),
        overrides={path: flat[key][path] for path in paths},
        config=config,
        name=records.run_name(config),
      )
    )
  return found


def swept_fields(configs: Sequence[Mapping[str, Any]]) -> list[str]:
  """The fields in which the members differ, in the order of the config.

  Not those that a row names: the name of a run must not depend on whether a
  default is written down.
  """
  first = configs[0]
  options = dict.fromkeys(
    path for config in configs for path in config if path not in fields.FIELDS
  )
  return [
    path
    for path in (*fields.FIELDS, *options)
    if path not in records.WITHOUT_EFFECT
    and any(config.get(path) != first.get(path) for config in configs)
  ]


def label_of(label: str, swept: Mapping[str, Any]) -> str:
  """The label of a config, and the fields in which the members differ."""
  short = short_names([*swept])
  parts = [label]
  # The seed last: runs that differ in it alone stand beside each other.
  for path in sorted(swept, key='seed'.__eq__):
    value = swept[path]
    if value is None:  # The default; what the others have is in their names.
      continue
    text = f'{value:.6g}' if isinstance(value, float) else f'{value}'
    # A plus has no place in a name; 1e+30 and 1e-30 do.
    text = text.replace('e+', 'e')
    parts.append(f'{short[path]}={text}')
  return '-'.join(parts)[:LONGEST_LABEL].rstrip('-')


def short_names(paths: Sequence[str]) -> dict[str, str]:
  """Each path, and as much of it as tells it from the others.

  The section stands for its name: 'norm' for 'norm.name'.
  """
  lasts = [path.rpartition('.')[2] for path in paths]
  found = dict(zip(paths, lasts, strict=True))
  for path, last in found.items():
    if last == 'name':
      found[path] = path.removesuffix('.name')
    elif lasts.count(last) > 1:
      found[path] = path
  return found
