"""Forecast of a sweep: its runs and how far they are; trains nothing."""

from collections.abc import Sequence

import pandas as pd

from normlab.analysis import tables
from normlab.sweeps import display
from normlab.sweeps.plan import Member
from normlab.sweeps.results import outcomes
from normlab.sweeps.train_all import Work

# Longer lists of runs are cut in the middle.
MOST_ROWS = 200


def report(planned: Sequence[Member], work: Work) -> str:
  """One row per run, what is left to train, and the runner."""
  paths = dict.fromkeys(path for m in planned for path in m.overrides)
  headers = outcomes.headers(list(paths))
  rows = [
    {
      'row': ', '.join(map(str, member.rows)),
      **{
        headers[path]: outcomes.override_text(value)
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
      *cut(pd.DataFrame(rows).fillna(outcomes.NOTHING)),
      *(f'left out: {problem}' for problem in work.problems.values()),
      f'{display.count_of(len(planned), "run")}, {len(work.waiting)} of them '
      f'to train, {work.runner.describe()}: {steps:,} steps in all\n'
      'nothing was trained or written',
    ]
  )


def cut(table: pd.DataFrame) -> list[str]:
  """The table as Markdown; of a long one, both ends."""
  if len(table) <= MOST_ROWS:
    return [tables.markdown(table)]
  half = MOST_ROWS // 2
  return [
    tables.markdown(table[:half]),
    f'... {len(table) - 2 * half} more ...',
    tables.markdown(table[-half:]),
  ]
