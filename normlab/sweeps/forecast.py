"""Forecast of a sweep: its runs and their groups; trains nothing."""

import pathlib
from collections.abc import Sequence

import pandas as pd

from normlab.analysis import tables
from normlab.sweeps import display
from normlab.sweeps.plan import Member
from normlab.sweeps.results import outcomes
from normlab.sweeps.runners.interface import Runs
from normlab.sweeps.runners.stacked import stackable
from normlab.sweeps.train_all import Work

# Longer lists of runs are cut in the middle.
MOST_ROWS = 200


def report(planned: Sequence[Member], folder: pathlib.Path, work: Work) -> str:
  """The runs and the groups of equal programs as tables.

  A group is what is compiled once: its runs differ in numbers that may be
  stacked (`stackable.STACKABLE`) alone.

  Args:
    planned: the members.
    folder: of the sweep; need not exist.
    work: what is left to train.
  """
  groups = stackable.groups(work.waiting)
  overrides = {
    str(folder / member.name): row
    for member, row in zip(planned, named_overrides(planned), strict=True)
  }
  return '\n\n'.join(
    [
      *run_table(planned, overrides, groups, work),
      group_table(overrides, groups),
      *(f'left out: {problem}' for problem in work.problems.values()),
      f'{display.count_of(len(planned), "run")}, {len(work.waiting)} of them '
      f'to train, {work.runner.describe()}\nnothing was trained or written',
    ]
  )


def run_table(
  planned: Sequence[Member],
  overrides: dict[str, dict[str, str]],
  groups: Sequence[Runs],
  work: Work,
) -> list[str]:
  """One row per run: its rows of the sweep, group, overrides and status."""
  group_of = {path: i for i, runs in enumerate(groups, 1) for path in runs}
  rows = [
    {
      'row': ', '.join(map(str, member.rows)),
      'group': group_of.get(path, outcomes.NOTHING),
      **overrides[path],
      'status': tables.reading(record)[0]['status'],
    }
    for member, (path, record) in zip(planned, work.found.items(), strict=True)
  ]
  table = pd.DataFrame(rows).fillna(outcomes.NOTHING)
  if len(table) <= MOST_ROWS:
    return [tables.markdown(table)]
  half = MOST_ROWS // 2
  return [
    tables.markdown(table[:half]),
    f'... {len(table) - 2 * half} more ...',
    tables.markdown(table[-half:]),
  ]


def group_table(
  overrides: dict[str, dict[str, str]], groups: Sequence[Runs]
) -> str:
  """One row per group: how many runs, what they share, and their length."""
  rows = []
  for i, runs in enumerate(groups, 1):
    first, *others = (overrides[path] for path in runs)
    same = [
      f'{key} {value}'
      for key, value in first.items()
      if all(row.get(key) == value for row in others)
    ]
    rows.append(
      {
        'group': i,
        'runs': len(runs),
        'same in all': ', '.join(same) or outcomes.NOTHING,
        'steps a run': next(iter(runs.values())).total_steps,
      }
    )
  if not rows:
    return 'nothing is left to train'
  return tables.markdown(pd.DataFrame(rows))


def named_overrides(planned: Sequence[Member]) -> list[dict[str, str]]:
  """The overrides of each member as text, by names as short as can be."""
  paths = dict.fromkeys(path for m in planned for path in m.overrides)
  headers = outcomes.headers(list(paths))
  return [
    {
      headers[path]: outcomes.override_text(value)
      for path, value in member.overrides.items()
    }
    for member in planned
  ]
