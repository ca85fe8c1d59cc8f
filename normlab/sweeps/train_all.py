"""Trains runs that belong together, through any runner."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import ml_collections

from normlab import records, validation
from normlab.interruption import InterruptedSweep
from normlab.sweeps import runners
from normlab.sweeps.display import Display
from normlab.sweeps.runner import Ended, Runner, Runs


def train_all(
  configs: Mapping[str, ml_collections.ConfigDict],
  *,
  runner: Runner | None = None,
  stop: Callable[[], bool] = lambda: False,
) -> dict[str, records.Record]:
  """Trains every run that has no result yet, each in its own folder.

  All configs are checked before the first run starts. A run that fails does
  not stop the others: it is tried once more when they have ended, unless it had
  failed before, and then its record says why.

  Args:
    configs: run folder to config.
    runner: what trains them; default: `runners.default`.
    stop: whether to save all states and end.

  Returns:
    Run folder to record, in the order of `configs`.

  Raises:
    names.ConfigError, records.RecordError: a config, a folder or a cluster that
      cannot be used; nothing is written.
    InterruptedSweep: as `stop` said so.
  """
  work = checked(configs, runner)
  carry_out(work, stop)
  return work.found


class Work(NamedTuple):
  """Runs that can be trained.

  Attributes:
    found: run folder to record, of all runs.
    waiting: run folder to config, of those without a result.
    runner: what trains them.
  """

  found: dict[str, records.Record]
  waiting: dict[str, ml_collections.ConfigDict]
  runner: Runner


def checked(
  configs: Mapping[str, ml_collections.ConfigDict], runner: Runner | None
) -> Work:
  """Checks everything that can be checked before the first run starts.

  Raises:
    names.ConfigError, records.RecordError: as `train_all`.
  """
  found = {path: records.Record(path) for path in configs}
  for path, config in configs.items():
    validation.check_complete(config)
    found[path].check_usable(config)
  waiting = {p: c for p, c in configs.items() if not found[p].is_finished}
  for config in waiting.values():
    validation.check(config)
  runner = runner or runners.default(waiting)
  if waiting:
    runner.check(waiting)
  return Work(found, waiting, runner)


def carry_out(work: Work, stop: Callable[[], bool]) -> dict[str, str]:
  """Trains the runs that wait.

  Returns:
    Run folder to what went wrong, in one line, of those that failed.

  Raises:
    records.RecordError: a folder that cannot be written.
    InterruptedSweep: as `stop` said so.
  """
  found, waiting, runner = work
  problems: dict[str, str] = {}
  failed_before = {path for path in waiting if has_failed(found[path])}
  for path in waiting:
    found[path].create()
  lengths = {path: config.total_steps for path, config in waiting.items()}
  display = Display(lengths, finished=len(found) - len(waiting))
  with contextlib.closing(display):
    watch = Watching(display, stop)
    runs = with_retry(runner, waiting, watch, failed_before) if waiting else ()
    for ended in runs:
      if ended.problem:
        problems[ended.path] = ended.problem
      note_failure(found[ended.path], waiting[ended.path], ended.problem)
      display.ended(*ended)
  left = sum(
    not r.is_finished and not has_failed(r) and path not in problems
    for path, r in found.items()
  )
  if stop() and left:
    raise InterruptedSweep(
      f'interrupted: {left} of {len(found)} runs are left; the same command '
      'continues them'
    )
  return problems


class Watching:
  """What the runner reports to: the display, and who may stop it."""

  def __init__(self, display: Display, stop: Callable[[], bool]):
    """Takes both."""
    self.display = display
    self.started = display.started
    self.poll = display.poll
    self.stop = stop


def with_retry(
  runner: Runner, runs: Runs, watch: Watching, failed_before: set[str]
) -> Iterator[Ended]:
  """Trains runs; those that fail for the first time once more, at the end."""
  again = {}
  for ended in runner.train(runs, watch):
    if ended.problem is None or ended.path in failed_before:
      yield ended
    else:
      again[ended.path] = runs[ended.path]
      record, config = records.Record(ended.path), runs[ended.path]
      note_failure(record, config, ended.problem)
      watch.display.again(*ended)
  if again and not watch.stop():
    yield from runner.train(again, watch)


def has_failed(record: records.Record) -> bool:
  """Whether the run failed when it was last trained."""
  try:
    return record.status['status'] == 'failed'
  except records.RecordError:
    return False


def note_failure(
  record: records.Record,
  config: ml_collections.ConfigDict,
  problem: str | None,
) -> None:
  """Writes down why a run failed whose process could not do so itself."""
  if problem and not has_failed(record):
    # The folder may be what is wrong; or another process trains in it.
    with contextlib.suppress(OSError, records.RecordError), record.locked():
      if record.config is None:
        record.write_config(config)
      record.write_status('failed', step=record.last_step(), error=problem)
