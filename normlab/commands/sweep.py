"""The sweep command: its messages and its exit status."""

import contextlib
import pathlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import ml_collections

from normlab.sweeps import forecast, sweep_folder
from normlab.sweeps.results import outcomes
from normlab.sweeps.runners import choice
from normlab.training.estimate import without_cache

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
  """Carries out a sweep, prints its table, and returns the exit status.

  Args:
    config: as in `configs/base.py`.
    module: the config file, whose `get_hyper` says what is swept.
    workdir: folder of the sweep.
    runner: 'name' and the options of `choice.build`.
    target: see `sweep_folder.sweep`.
    dry_run: prints the runs, their groups and the time; trains none.
    stop: whether to save all states and end.

  Raises:
    errors.ConfigError, records.RecordError, InterruptedSweep: as
      `sweep_folder.sweep`.
  """
  with without_cache() if dry_run else contextlib.nullcontext():
    planned = sweep_folder.plan(config, sweep_folder.rows_of(module))
    chosen = choice.build(runs=planned, **runner)
    if dry_run:
      print(forecast.report(planned, workdir, chosen))
      return DONE
  table = sweep_folder.sweep(
    planned, workdir, runner=chosen, target=target, stop=stop
  )
  print(outcomes.markdown(table))
  for name in outcomes.FILES:
    print(f'wrote {pathlib.Path(workdir) / name}')
  return DONE if table['status'].isin(outcomes.FINISHED).all() else INCOMPLETE
