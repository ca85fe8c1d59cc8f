"""The reproduce command: trains, reads the records, writes the results."""

import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from normlab import errors, records, registry
from normlab.analysis import tables, tunings
from normlab.commands import result_configs, result_files
from normlab.records import Record
from normlab.runtime import machine
from normlab.sweeps.runners import choice
from normlab.sweeps.train_all import train_all


def reproduce(
  name: str,
  experiment: Any,
  *,
  scale: str,
  workdir: str,
  committed: pathlib.Path,
  data_dir: str | None = None,
  runner: Mapping[str, Any] | None = None,
  tune: bool = False,
  plot_only: bool = False,
  stop: Callable[[], bool] = lambda: False,
) -> None:
  """Trains the runs that have no result, prints the tables, writes all files.

  Args:
    name: of the experiment.
    experiment: an `Experiment` of `experiments.base`.
    scale: a key of its scales.
    workdir: folder of the runs, and of 'results/NAME/SCALE.*'.
    committed: folder with results of others, from which come the tuning, and
      the curves for `plot_only`, where `workdir` has none.
    data_dir: where TFDS prepared the data.
    runner: 'name' and options of `choice.build`; default: the fastest here.
    tune: trains the grid of learning rates first, and takes the best.
    plot_only: trains nothing, and draws from the curves of the results.
    stop: returns True to save all states and end.

  Raises:
    errors.ConfigError, records.RecordError: what cannot be carried out, or a
      run that has no result; then no table or figure is written.
    InterruptedSweep: `stop` returned True.
  """
  registry.lookup(f'scale of {name}', scale, experiment.scales)
  if tune and plot_only:
    raise errors.ConfigError('--tune trains, --plot_only does not: choose one')
  folder = pathlib.Path(workdir) / 'results'
  places = [folder / name, committed / name]
  # A damaged result is found before hours of training, not after them.
  result_files.read_verdicts(folder, but=(name, scale))
  train = Trainer(workdir, data_dir, runner, stop)
  tuned_at = experiment.scales[scale].tuned_at or scale
  if tune:
    grid = tune_rates(experiment, tuned_at, train)
    result_files.write_tuning(grid, folder / name / tuned_at)
  tuning = result_files.read_tuning(places, tuned_at, by=experiment.tuned_by)
  runs = with_rate(experiment, experiment.all_runs(scale), tuning)
  if plot_only:
    table, made = result_files.read_curves(places, scale, runs)
  else:
    table = (
      train(runs, experiment.measure)
      if runs
      else train.compute(experiment.compute, scale)
    )
    made = train.made(name, scale) | result_configs.configs_of(runs)
  result_files.write(
    experiment, table, folder / name / scale, tuning=tuning, made=made
  )
  result_files.write_ledger(folder)


def tune_rates(experiment: Any, scale: str, train: 'Trainer') -> pd.DataFrame:
  """Trains the grid of learning rates; returns the tuning, as in `tunings`.

  Raises:
    errors.ConfigError: the scale tunes nothing.
  """
  runs = experiment.tuning_runs(scale)
  if not runs:
    raise errors.ConfigError(f'scale {scale!r} tunes nothing; leave out --tune')
  return experiment.tuned(train(runs, tables.training))


def with_rate(
  experiment: Any, runs: list[Any], tuning: pd.DataFrame | None
) -> list[Any]:
  """The runs, each at the best learning rate of its arm.

  An arm without a tuning takes the baseline's; without that, its config's.
  """
  if tuning is not None:
    best = tunings.best_rates(tuning, by=experiment.tuned_by)
    usual = best.get(None, best.get(experiment.baseline))
    for run in runs:
      rate = best.get(run.labels['arm'], usual)
      if rate is not None:
        run.config.optimizer.learning_rate = rate
  return runs


class Trainer:
  """Trains runs and reads their tables, or computes one."""

  def __init__(
    self,
    workdir: str,
    data_dir: str | None,
    runner: Mapping[str, Any] | None,
    stop: Callable[[], bool],
  ):
    """Takes what all runs share; see `reproduce`."""
    self._workdir = pathlib.Path(workdir)
    self._data_dir = data_dir
    self._runner = runner or {}
    self._stop = stop
    self._seconds = 0.0

  def compute(
    self, table_of: Callable[[str], pd.DataFrame], scale: str
  ) -> pd.DataFrame:
    """The table of an experiment that trains nothing."""
    start = time.monotonic()
    table = table_of(scale)
    self._seconds = time.monotonic() - start
    return table

  def __call__(
    self,
    runs: Sequence[Any],
    measure: Callable[[Record], pd.DataFrame] | None = None,
  ) -> pd.DataFrame:
    """One row per run and step, from `tables.evaluations`.

    Raises:
      records.RecordError: a run that has no result, or a damaged one.
    """
    labels, configs = {}, {}
    for run in runs:
      run.config.data.data_dir = self._data_dir
      path = str(self._workdir / records.run_name(run.config))
      labels[path], configs[path] = run.labels, run.config
    options = {'name': None, **self._runner}
    train_all(
      configs, runner=choice.build(**options, runs=configs), stop=self._stop
    )
    found = {path: records.Record(path) for path in configs}
    missing = [record for record in found.values() if not record.is_finished]
    if missing:
      raise records.RecordError(missing_runs(missing, len(found)))
    for record in found.values():
      record.check_whole()
    # Of the runs, whenever they were trained: a resumed experiment took longer
    # than its last call.
    self._seconds = sum(r.status.get('seconds', 0) for r in found.values())
    return tables.evaluations(
      (
        ({**labels[path], 'run': record.path.name}, record)
        for path, record in found.items()
      ),
      measure=measure,
    )

  def made(self, name: str, scale: str) -> dict[str, Any]:
    """How the results were made: command, time, machine, versions."""
    where = ' --data_dir=DIR' if self._data_dir else ''
    return {
      'command': f'python scripts/reproduce.py {name} --scale={scale} '
      f'--workdir=runs{where}',
      'seconds': round(self._seconds),
      'machine': machine.machine(),
      'versions': machine.versions('normlab', 'jax', 'flax', 'optax'),
    }


def missing_runs(missing: Sequence[records.Record], total: int) -> str:
  """How many runs have no result, and why the first has none."""
  status = missing[0].status
  why = status.get('error', 'never trained' if len(status) == 1 else '')
  return (
    f'{len(missing)} of {total} runs have no result, the first of them '
    f'{str(missing[0].path)!r} ({status["status"]}{why and ": " + why})'
  )


def listing(
  experiments: Mapping[str, tuple[str, Any]], committed: pathlib.Path
) -> str:
  """The experiments with their claims, and scales with measured times.

  Args:
    experiments: name to question and experiment.
    committed: folder with results, whose times are shown.
  """
  lines = []
  for name, (question, experiment) in experiments.items():
    lines += [f'{name}: {question}']
    lines += [f'  claim {c.number}: {c.text}' for c in experiment.claims]
    for scale in experiment.scales:
      count = len(experiment.all_runs(scale))
      what = f'{count} runs' if count else 'computed'
      took = result_files.measured_time(committed / name, scale)
      lines.append(f'  --scale={scale}: {what}, {took}')
  return '\n'.join(lines)
