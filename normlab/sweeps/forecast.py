"""Forecast of a sweep: its runs, their groups, the time; trains nothing."""

import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from normlab import records
from normlab.analysis import tables
from normlab.runtime import progress_bar
from normlab.sweeps import display, sweep_folder
from normlab.sweeps.plan import Member
from normlab.sweeps.results import outcomes
from normlab.sweeps.runners.interface import Estimate, Runner, Runs
from normlab.sweeps.runners.stacked import stackable
from normlab.sweeps.train_all import checked

# Longer lists of runs are cut in the middle.
MOST_ROWS = 200


def report(planned: Sequence[Member], workdir: str, runner: Runner) -> str:
  """The runs and the groups of equal programs as tables, and the time.

  A group is what is compiled once: its runs differ in numbers that may be
  stacked (`stackable.STACKABLE`) alone.

  Args:
    planned: the members.
    workdir: folder of the sweep, which need not exist.
    runner: that would train them.

  Raises:
    errors.ConfigError, records.RecordError: as the sweep would.
  """
  folder = pathlib.Path(workdir)
  sweep_folder.check_usable(folder, planned)
  work = checked(
    {str(folder / member.name): member.config for member in planned}, runner
  )
  groups = stackable.groups(work.waiting)
  estimates = [runner.estimate(group) for group in groups]
  return '\n\n'.join(
    [
      run_table(planned, folder, groups),
      group_table(planned, folder, groups, estimates),
      *(f'left out: {problem}' for problem in work.problems.values()),
      summary(len(planned), len(work.waiting), runner, estimates),
    ]
  )


def run_table(
  planned: Sequence[Member], folder: pathlib.Path, groups: Sequence[Runs]
) -> str:
  """One row per run: its group, its overrides, whether it has a result."""
  group_of = {path: i for i, runs in enumerate(groups, 1) for path in runs}
  rows = [
    {
      'row': ', '.join(map(str, member.rows)),
      'group': group_of.get(str(folder / member.name), outcomes.NOTHING),
      **named_overrides(planned, member),
      'status': status(folder / member.name),
    }
    for member in planned
  ]
  table = pd.DataFrame(rows).fillna(outcomes.NOTHING)
  if len(table) <= MOST_ROWS:
    return as_text(table)
  half = MOST_ROWS // 2
  return (
    f'{as_text(table[:half])}\n\n... {len(table) - 2 * half} more ...\n\n'
    f'{as_text(table[-half:])}'
  )


def status(path: pathlib.Path) -> str:
  """The status of a run, as the table of the sweep would have it."""
  ending, _ = tables.reading(records.Record(path))
  return ending['status']


def group_table(
  planned: Sequence[Member],
  folder: pathlib.Path,
  groups: Sequence[Runs],
  estimates: Sequence[Estimate],
) -> str:
  """One row per group: number of runs, shared overrides, and time."""
  by_path = {str(folder / member.name): member for member in planned}
  rows = []
  for i, (runs, estimate) in enumerate(zip(groups, estimates, strict=True), 1):
    own = [named_overrides(planned, by_path[path]) for path in runs]
    rows.append(
      {
        'group': i,
        'runs': len(runs),
        'same in all': in_words(same(own)),
        'steps a run': next(iter(runs.values())).total_steps,
        'compiling': progress_bar.duration(estimate.compiling),
        'training': progress_bar.duration(estimate.training),
      }
    )
  return as_text(pd.DataFrame(rows)) if rows else 'nothing is left to train'


def summary(
  total: int, waiting: int, runner: Runner, estimates: Iterable[Estimate]
) -> str:
  """The sentences below the tables."""
  seconds = sum(
    estimate.compiling + estimate.training for estimate in estimates
  )
  return (
    f'{display.count_of(total, "run")}, {waiting} of them to train, '
    f'{runner.describe()}: about {progress_bar.duration(seconds)}, '
    'without evaluations and checkpoints\n'
    'nothing was trained or written'
  )


def named_overrides(
  planned: Sequence[Member], member: Member
) -> dict[str, str]:
  """The overrides of a member as text, by names as short as can be."""
  paths = dict.fromkeys(path for m in planned for path in m.overrides)
  headers = outcomes.headers(list(paths))
  return {
    headers[path]: outcomes.override_text(value)
    for path, value in member.overrides.items()
  }


def same(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
  """The overrides that all rows share."""
  return {
    key: value
    for key, value in rows[0].items()
    if all(row.get(key) == value for row in rows)
  }


def in_words(values: dict[str, Any]) -> str:
  """'norm batch, seed 1'."""
  pairs = (f'{key} {value}' for key, value in values.items())
  return ', '.join(pairs) or outcomes.NOTHING


def as_text(table: pd.DataFrame) -> str:
  """A table as Markdown."""
  return table.to_markdown(index=False, disable_numparse=True)
