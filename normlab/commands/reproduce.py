"""The reproduce command: trains, reads the records, writes the results."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import pandas as pd

from normlab import records, registry
from normlab.analysis import outputs, tables
from normlab.sweeps.runners import choice
from normlab.sweeps.train_all import train_all


def reproduce(
  name: str,
  experiment: ModuleType,
  *,
  scale: str,
  workdir: str,
  data_dir: str | None = None,
  runner: Mapping[str, Any] | None = None,
  plot_only: bool = False,
  stop: Callable[[], bool] = lambda: False,
) -> None:
  """Trains the runs that have no result, prints the tables, writes all files.

  Args:
    name: of the experiment, and so of its files.
    experiment: a package of `experiments`; docs/extending.md has its parts.
    scale: a key of its SCALES.
    workdir: folder of the runs, and of the results `name_scale.*`.
    data_dir: where TFDS prepared the data.
    runner: 'name' and options of `choice.build`; default: the fastest here.
    plot_only: trains nothing.
    stop: returns True to save all states and end.

  Raises:
    errors.ConfigError, records.RecordError: what cannot be carried out, or a
      run that has no result; then no table or figure is written.
    InterruptedSweep: `stop` returned True.
  """
  registry.lookup(f'scale of {name}', scale, experiment.SCALES)
  labels, configs = {}, {}
  for run in experiment.runs(scale):
    run.config.data.data_dir = data_dir
    path = str(pathlib.Path(workdir) / records.run_name(run.config))
    labels[path], configs[path] = run.labels, run.config
  if not plot_only:
    train_all(
      configs,
      runner=choice.build(**{'name': None, **(runner or {})}, runs=configs),
      stop=stop,
    )
  found = [(labels[path], records.Record(path)) for path in configs]
  missing = [record for _, record in found if not record.is_finished]
  if missing:
    problem = missing_runs(missing, len(found))
    hint = '; without --plot_only they are trained' if plot_only else ''
    raise records.RecordError(problem + hint)
  for _, record in found:
    record.check_whole()
  table = tables.evaluations(found)
  write(experiment, table, scale, pathlib.Path(workdir) / f'{name}_{scale}')


def missing_runs(missing: Sequence[records.Record], total: int) -> str:
  """How many runs have no result, and why the first has none."""
  status = missing[0].status
  why = status.get('error', 'never trained' if len(status) == 1 else '')
  return (
    f'{len(missing)} of {total} runs have no result, the first of them '
    f'{str(missing[0].path)!r} ({status["status"]}{why and ": " + why})'
  )


def write(
  experiment: ModuleType, table: pd.DataFrame, scale: str, path: pathlib.Path
) -> None:
  """Writes the tables and the figure to `path` with suffixes, and prints them.

  Raises:
    records.RecordError: a file that cannot be written.
  """
  summary = tables.markdown(experiment.present(table))
  verdicts = tables.markdown(experiment.judge(table))
  text = f'{summary}\n\n{verdicts}\n\n{experiment.caption(scale)}\n'
  outputs.write(
    path,
    table=experiment.analyze(table),
    text=text,
    figure=experiment.plot(table, scale),
  )
  print(text)
  for suffix in outputs.SUFFIXES:
    print(f'wrote {path.with_suffix(suffix)}')
