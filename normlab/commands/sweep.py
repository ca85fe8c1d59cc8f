"""Carries out a sweep: plans, trains, writes and prints its results."""

import contextlib
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import ml_collections
import pandas as pd

from normlab import records
from normlab.analysis import tables
from normlab.commands.train import print_notes, without_cache
from normlab.sweeps import display, plan, sweep_folder, train_all
from normlab.sweeps.results import sweep_table
from normlab.sweeps.runners import choice

DONE, INCOMPLETE = 0, 1


def sweep(
  config: ml_collections.ConfigDict,
  module: ModuleType,
  workdir: str,
  *,
  runner: Mapping[str, Any],
  target: float | None = None,
  dry_run: bool = False,
  stop: Callable[[], bool] = lambda: False,
) -> int:
  """Trains all runs without a result, writes the results of all, prints them.

  Args:
    module: the config file, whose `get_hyper` says what is swept.
    runner: 'name' and the options of `choice.build`.
    target: accuracy in [0, 1] of the column 'steps_to_target'; None is the best
      of the first run that has a result.

  Returns:
    The exit status.

  Raises:
    errors.ConfigError, records.RecordError: a config, a folder or a cluster
      that cannot be used; nothing is written.
    InterruptedSweep: `stop` returned True.
  """
  folder = pathlib.Path(workdir)
  with without_cache() if dry_run else contextlib.nullcontext():
    planned = plan.members(config, plan.rows_of(module))
    for member in planned:
      if len(member.rows) > 1:
        rows = plan.in_rows(member.rows)
        note = f'{rows} have the same config: one run, {member.name}'
        print(f'note: {note}', file=sys.stderr)
    sweep_folder.check_usable(folder, planned)
    print_notes(member.config for member in planned)
    work = train_all.checked(
      {str(folder / member.name): member.config for member in planned},
      choice.build(runs=planned, **runner),
    )
  if dry_run:
    print(forecast(planned, work))
    return DONE
  with records.Record(folder).locked():
    sweep_folder.write_plan(folder, planned)
    problems = train_all.carry_out(work, stop)
    overrides = [member.overrides for member in planned]
    runs = list(zip(overrides, work.found.values(), strict=True))
    table = sweep_table.table(runs, target=target, problems=problems)
    sweep_table.write(table, folder)
  print(sweep_table.markdown(table))
  for name in sweep_table.FILES:
    print(f'wrote {folder / name}')
  return DONE if table['status'].isin(records.FINISHED).all() else INCOMPLETE


def forecast(planned: Sequence[plan.Member], work: train_all.Work) -> str:
  """One row per run, what is left to train, and the runner."""
  paths = dict.fromkeys(path for m in planned for path in m.overrides)
  headers = sweep_table.headers(list(paths))
  rows = [
    {
      'row': ', '.join(map(str, member.rows)),
      **{
        headers[path]: sweep_table.override_text(value)
        for path, value in member.overrides.items()
      },
      'steps': member.config.total_steps,
      'status': tables.reading(record)[0]['status'],
    }
    for member, record in zip(planned, work.found.values(), strict=True)
  ]
  steps = sum(config.total_steps for config in work.waiting.values())
  return '\n\n'.join(
    [
      tables.markdown(pd.DataFrame(rows).fillna(sweep_table.NOTHING)),
      *(f'left out: {problem}' for problem in work.problems.values()),
      f'{display.count_of(len(planned), "run")}, {len(work.waiting)} of them '
      f'to train, {work.runner.describe()}: {steps:,} steps in all\n'
      'nothing was trained or written',
    ]
  )
