"""The reproduce command: trains, reads the records, writes the results."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import ml_collections
import pandas as pd
from matplotlib.figure import Figure

from normlab import records, registry
from normlab.analysis import outputs, tables
from normlab.sweeps.runners import choice
from normlab.sweeps.train_all import train_all


class Run(Protocol):
  """One entry of an experiment's list."""

  labels: Mapping[str, Any]
  config: ml_collections.ConfigDict


class Experiment(Protocol):
  """A module of `experiments`."""

  SCALES: Mapping[str, Any]

  def runs(self, scale: str) -> Sequence[Run]:
    """All runs of a scale."""

  def analyze(self, table: pd.DataFrame) -> pd.DataFrame:
    """The evaluations, summarized in numbers."""

  def present(self, table: pd.DataFrame) -> pd.DataFrame:
    """The same as text, for people."""

  def judge(self, table: pd.DataFrame) -> pd.DataFrame:
    """The verdicts on the claims."""

  def caption(self, scale: str) -> str:
    """The caption: the runs, and the differences from the paper."""

  def plot(self, table: pd.DataFrame, scale: str) -> Figure:
    """The figure."""


def reproduce(
  name: str,
  experiment: Experiment,
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
    experiment: its module.
    scale: a key of its SCALES.
    workdir: folder of the runs, and of the results `name_scale.*`.
    data_dir: where TFDS prepared the data.
    runner: 'name' and options of `choice.build`; default: the fastest here.
    plot_only: trains nothing.
    stop: whether to save all states and end.

  Raises:
    errors.ConfigError, records.RecordError: what cannot be carried out, or a
      run that has no result; then no table or figure is written.
    InterruptedSweep: as `stop` said so.
  """
  registry.lookup(f'scale of {name}', scale, experiment.SCALES)
  listed = experiment.runs(scale)
  for run in listed:
    run.config.data.data_dir = data_dir
  folders = [
    pathlib.Path(workdir) / records.run_name(run.config) for run in listed
  ]
  if not plot_only:
    train_all(
      {
        str(path): run.config for path, run in zip(folders, listed, strict=True)
      },
      runner=choice.build(**{'name': None, **(runner or {})}, runs=listed),
      stop=stop,
    )
  found = [
    (run.labels, records.Record(path))
    for path, run in zip(folders, listed, strict=True)
  ]
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
  """Says in one line how many runs have no result, and why the first has not.

  Args:
    missing: the records of runs that have none.
    total: number of all runs.
  """
  status = missing[0].status
  why = status.get('error', 'never trained' if len(status) == 1 else '')
  return (
    f'{len(missing)} of {total} runs have no result, the first of them '
    f'{str(missing[0].path)!r} ({status["status"]}{why and ": " + why})'
  )


def write(
  experiment: Experiment, table: pd.DataFrame, scale: str, path: pathlib.Path
) -> None:
  """Writes the tables and the figure to `path` with suffixes, and prints them.

  Raises:
    records.RecordError: a file that cannot be written.
  """
  summary = markdown(experiment.present(table))
  verdicts = markdown(experiment.judge(table))
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


def markdown(table: pd.DataFrame) -> str:
  """A table of text as Markdown."""
  return table.to_markdown(index=False, disable_numparse=True)
