"""Trains runs that belong together, through any runner."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import ml_collections

from normlab import errors, records, validation
from normlab.runtime.interruption import InterruptedSweep
from normlab.sweeps.display import Display
from normlab.sweeps.runners.interface import Ended, Runner, Runs
from normlab.training import endings


def train_all(
  configs: Mapping[str, ml_collections.ConfigDict],
  *,
  runner: Runner,
  stop: Callable[[], bool] = lambda: False,
) -> dict[str, records.Record]:
  """Trains every run that has no result yet, each in its own folder.

  All configs are checked before the first run starts. A run that fails does
  not stop the others: it is tried once more when they have ended, unless it had
  failed before, and then its record says why. A run whose folder cannot be used
  does not stop them either, and is left as it is.

  Args:
    configs: run folder to config.
    stop: returns True to save all states and end.

  Returns:
    Run folder to record, in the order of `configs`.

  Raises:
    errors.ConfigError, records.RecordError: a config, all folders or a cluster
      that cannot be used; nothing is written.
    InterruptedSweep: `stop` returned True.
  """
  work = checked(configs, runner)
  carry_out(work, stop)
  return work.found


class Work(NamedTuple):
  """Runs by their folders.

  Attributes:
    found: the records of all runs.
    waiting: the configs of those without a result.
    runner: trains them.
    problems: why some folders cannot be used.
  """

  found: dict[str, records.Record]
  waiting: dict[str, validation.CheckedConfig]
  runner: Runner
  problems: dict[str, str]


def checked(
  configs: Mapping[str, ml_collections.ConfigDict], runner: Runner
) -> Work:
  """Checks everything that can be checked before the first run starts.

  Raises:
    errors.ConfigError, records.RecordError: as `train_all`.
  """
  found = {path: records.Record(path) for path in configs}
  for config in configs.values():
    validation.check_complete(config)
  problems = refused(
    configs, lambda path: found[path].check_usable(configs[path]), len(found)
  )
  waiting = {
    path: validation.check(config)
    for path, config in configs.items()
    if path not in problems and not found[path].is_finished
  }
  if waiting:
    runner.check(waiting)
  return Work(found, waiting, runner, problems)


def refused(
  paths: Iterable[str], check: Callable[[str], None], total: int
) -> dict[str, str]:
  """The run folders that a check refuses, and why, in one line each.

  Raises:
    records.RecordError: of the first, where `total` are refused.
  """
  problems = {}
  for path in paths:
    try:
      check(path)
    except records.RecordError as error:
      problems[path] = errors.one_line(str(error))
  if problems and len(problems) == total:
    raise records.RecordError(next(iter(problems.values())))
  return problems


def carry_out(work: Work, stop: Callable[[], bool]) -> dict[str, str]:
  """Trains the runs that wait.

  Returns:
    Run folder to problem, in one line, of runs that failed or cannot be used.

  Raises:
    records.RecordError: no folder can be written.
    InterruptedSweep: `stop` returned True.
  """
  found, waiting, runner, problems = work
  failed_before = {path for path in waiting if has_failed(found[path])}
  unwritable = refused(waiting, lambda path: found[path].create(), len(found))
  problems = problems | unwritable
  runs = {p: config for p, config in waiting.items() if p not in unwritable}
  lengths = {path: config.total_steps for path, config in runs.items()}
  finished = len(found) - len(problems) - len(runs)
  display = Display(lengths, finished=finished, stop=stop)
  for problem in problems.values():
    display.note(f'left out: {problem}')
  with contextlib.closing(display):
    ends = with_retry(runner, runs, display, failed_before) if runs else ()
    for ended in ends:
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


def with_retry(
  runner: Runner, runs: Runs, display: Display, failed_before: set[str]
) -> Iterator[Ended]:
  """Trains runs; those that fail for the first time once more, at the end."""
  again = {}
  for ended in runner.train(runs, display):
    if ended.problem is None or ended.path in failed_before:
      yield ended
    else:
      again[ended.path] = runs[ended.path]
      record = records.Record(ended.path)
      note_failure(record, runs[ended.path], ended.problem)
      display.again(*ended)
  if again and not display.stop():
    yield from runner.train(again, display)


def has_failed(record: records.Record) -> bool:
  """Whether the run failed when it was last trained."""
  try:
    return record.status['status'] == 'failed'
  except records.RecordError:
    return False


def note_failure(
  record: records.Record, config: ml_collections.ConfigDict, problem: str
) -> None:
  """Writes down why a run failed whose process could not do so itself."""
  if not has_failed(record):
    # The folder may be what is wrong; or another process trains in it.
    with contextlib.suppress(OSError, records.RecordError), record.locked():
      if record.config is None:
        record.write_config(config)
      endings.mark(endings.LostError(problem), record)
