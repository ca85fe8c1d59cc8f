"""Result files of experiments: `FOLDER/NAME/SCALE.*`, and the ledger of all.

.md             outcomes, verdicts and conclusions, for people
.csv            outcomes, one row per run
.verdicts.csv   verdicts, one row per comparison
.curves.csv.gz  the table of runs, from which all the others follow
.tuning.csv     accuracy of the baseline, or of each arm, at each learning rate
.json           command, time, machine, versions and configs
.png, .svg      the figure
"""

import json
import pathlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from pandas.api import types

from normlab import errors, records
from normlab.analysis import (
  claim_plots,
  claims,
  ledger,
  outputs,
  tables,
  tunings,
)
from normlab.analysis.verdicts import Verdict
from normlab.commands import result_configs

CURVES, TUNING, MADE = '.curves.csv.gz', '.tuning.csv', '.json'
VERDICTS = '.verdicts.csv'
# What is read back, so that a damaged file is found before it is used: columns
# of numbers, those that take few values, and the fields of how it was made.
NUMBERS = (
  *('seed', 'step', 'accuracy', 'loss', 'diverged_at', 'rate', 'claim'),
  *('margin', 'published', 'estimate', 'low', 'high'),
)
CHOICES = {'measure': claims.MEASURES, 'part': Verdict, 'verdict': Verdict}
KINDS = {
  **dict.fromkeys(('command', 'machine', 'versions'), str),
  **{'seconds': int, 'config': dict, 'runs': dict},
}
JUDGED = (
  *('claim', 'text', 'source', 'measure', 'outcome', 'arm', 'relation'),
  *('margin', 'against', 'published', 'estimate', 'low', 'high', 'seeds'),
  *('seeds_against', 'part', 'verdict', 'command'),
)


def write(
  experiment: Any,
  table: pd.DataFrame,
  path: pathlib.Path,
  *,
  tuning: pd.DataFrame | None,
  made: Mapping[str, Any],
) -> None:
  """Writes the tables and the figure to `path` with suffixes; prints them.

  Args:
    experiment: an `Experiment` of `experiments.base`.
    table: one row per run and step, or as computed.
    path: the folder of the experiment, and the name of the scale.
    tuning: as in `tunings`; None if nothing was tuned.
    made: how the runs were made, with `result_configs.configs_of` them.

  Raises:
    records.RecordError: a file that cannot be written.
  """
  judged = experiment.judge(table)
  outcomes = experiment.outcomes(table)
  target = experiment.target(table)
  conclusions = [f'- {line}' for line in claims.conclusions(judged)]
  sections = {
    'Outcomes': tables.markdown(experiment.present(outcomes, target)),
    'Verdicts': tables.markdown(claims.present(judged)),
    'Conclusions': '\n'.join(conclusions),
  }
  if target is not None:
    sections['Target'] = (
      f'{target:.2%}, where {experiment.baseline} ends: the mean over seeds '
      'that are used for nothing else.'
    )
  if tuning is not None:
    found = tunings.present(tuning, by=experiment.tuned_by)
    sections['Tuning'] = tables.markdown(found)
  sections['Made by'] = made_text(made)
  text = '\n\n'.join(
    f'## {title}\n\n{body}' for title, body in sections.items()
  )
  written = outputs.write(
    path,
    {
      '.md': f'{text}\n',
      '.csv': outcomes.reset_index(),
      VERDICTS: judged.assign(command=made['command']),
      CURVES: table,
      MADE: json.dumps(made, indent=1) + '\n',
    },
    experiment.plot(experiment, table, path.name),
  )
  print(text, *(f'wrote {file}' for file in written), sep='\n')


def made_text(made: Mapping[str, Any]) -> str:
  """The command, and where and how long it ran."""
  count = len(made['runs'])
  seconds = f'{made["seconds"]:,.0f} seconds'
  what = (
    f'{count} runs, {seconds} in all' if count else f'Computed in {seconds}'
  )
  return (
    f'`{made["command"]}`\n\n{what}, on {made["machine"]}; {made["versions"]}.'
  )


def write_tuning(table: pd.DataFrame, path: pathlib.Path) -> None:
  """Writes a tuning, as in `tunings`, to `path` with its suffix."""
  outputs.write(path, {TUNING: table})


def read_tuning(
  places: Sequence[pathlib.Path], scale: str, *, by: str = 'accuracy'
) -> pd.DataFrame | None:
  """The tuning of a scale, in the first folder that has one."""
  path = first_file(places, f'{scale}{TUNING}')
  return None if path is None else read_table(path, ('rate', by))


def read_curves(
  places: Sequence[pathlib.Path], scale: str, runs: Sequence[Any]
) -> tuple[pd.DataFrame, dict[str, Any]]:
  """The table of runs of a result, and how it was made.

  Args:
    places: folders, the first of which that has it counts.
    scale: whose result.
    runs: those of now; none of a table that was computed.

  Raises:
    records.RecordError: there are none, they are damaged, or of other runs.
  """
  path = first_file(places, f'{scale}{CURVES}')
  if path is None:
    raise records.RecordError(
      f'{str(places[0] / (scale + CURVES))!r} is not there, and none is '
      'committed for this scale; without --plot_only it is trained'
    )
  trained = ('step', 'accuracy', 'loss', 'diverged_at') if runs else ()
  table = read_table(path, ('arm', 'seed', *trained))
  made = read_made(path.with_name(f'{scale}{MADE}'))
  problem = runs and result_configs.another_version(made, table, runs)
  if problem:
    raise records.RecordError(
      f'{str(path)!r} is of another version of the experiment: {problem}; '
      'without --plot_only it is trained'
    )
  return table, made


def measured_time(folder: pathlib.Path, scale: str) -> str:
  """How long a scale took, and where."""
  path = folder / f'{scale}{MADE}'
  if not path.is_file():
    return 'not measured yet'
  made = read_made(path)
  minutes = made['seconds'] / 60
  return f'{minutes:.1f} minutes of one process ({made["machine"]})'


def read_made(path: pathlib.Path) -> dict[str, Any]:
  """How a result was made: 'command', 'config' and 'runs' among others.

  Raises:
    records.RecordError: it is damaged.
  """
  try:
    made = json.loads(path.read_text(encoding='utf-8'))
    found = made if isinstance(made, dict) else {}
    for key, kind in KINDS.items():
      if not isinstance(found.get(key), kind):
        raise ValueError(f'{key!r} is missing, or not of type {kind.__name__}')
  except (OSError, ValueError) as error:
    raise damaged(path, error) from error
  return made


def read_verdicts(
  folder: pathlib.Path, *, but: tuple[str, str] | None = None
) -> dict[tuple[str, str], pd.DataFrame]:
  """The verdicts of all results in a folder, by experiment and scale.

  Args:
    folder: with a folder an experiment.
    but: the experiment and scale that are left out.

  Raises:
    records.RecordError: a file that cannot be read.
  """
  paths = {
    (path.parent.name, path.name.removesuffix(VERDICTS)): path
    for path in sorted(folder.glob(f'*/*{VERDICTS}'))
  }
  return {
    key: read_table(path, JUDGED) for key, path in paths.items() if key != but
  }


def write_ledger(folder: pathlib.Path) -> None:
  """Writes `folder/claims.*` from the verdicts of all results below it.

  Raises:
    records.RecordError: a file that cannot be read or written.
  """
  table = ledger.ledger(read_verdicts(folder))
  outputs.write(
    folder / 'claims',
    {'.md': ledger.markdown(table), '.csv': table},
    claim_plots.forest(ledger.main_rows(table)),
  )
  print(f'wrote {folder / "claims.md"}')


def first_file(
  places: Sequence[pathlib.Path], name: str
) -> pathlib.Path | None:
  """The file in the first folder that has it."""
  return next((p / name for p in places if (p / name).is_file()), None)


def read_table(path: pathlib.Path, columns: Sequence[str]) -> pd.DataFrame:
  """A table with these columns, at least.

  Raises:
    records.RecordError: it is damaged.
  """
  try:
    table = pd.read_csv(path)
    missing = [name for name in columns if name not in table]
    if missing or not len(table):
      raise ValueError(f'no column {missing[0]!r}' if missing else 'no rows')
    for name in {*NUMBERS} & {*table}:
      if not types.is_numeric_dtype(table[name]):
        raise ValueError(f'{name!r} has what is no number')
    for name in {*CHOICES} & {*table}:
      if not {*table[name]} <= {*CHOICES[name]}:
        raise ValueError(f'{name!r} has other than {", ".join(CHOICES[name])}')
  except (OSError, EOFError, ValueError, zlib.error) as error:
    raise damaged(path, error) from error
  return table


def damaged(path: pathlib.Path, error: Exception) -> records.RecordError:
  """The error for a result file that cannot be read."""
  return records.RecordError(
    f'{str(path)!r} cannot be read: {errors.summary(error)}; delete it, or '
    'restore it'
  )
