"""What stands between a command line and a run: signals, processes, words."""

import functools
import sys

import ml_collections

from normlab import errors, records, validation
from normlab.runtime import distributed, interruption
from normlab.training import endings, estimate, loop


def join_processes(
  *,
  multi_host: bool,
  coordinator: str | None,
  num_processes: int | None,
  process_id: int | None,
) -> None:
  """Joins the other processes of a run, where there are any.

  Args:
    multi_host: the cluster's environment says what the others do not.
    coordinator: 'host:port' of process 0.
    num_processes: of the run.
    process_id: of this process, from 0.

  Raises:
    errors.ConfigError: as `distributed.initialize`.
  """
  given = {'num_processes': num_processes, 'process_id': process_id}
  for flag, value in given.items():
    if value is not None and coordinator is None and not multi_host:
      raise errors.ConfigError(
        f'--{flag}={value} is not allowed without --coordinator=HOST:PORT or '
        '--multi_host'
      )
  if multi_host or coordinator is not None:
    distributed.initialize(coordinator, num_processes, process_id)


def train(
  config: ml_collections.ConfigDict,
  workdir: str,
  stop: interruption.Interruption,
) -> int:
  """Trains a run, saves it on SIGTERM and Ctrl-C; returns the exit status.

  Args:
    config: as in `configs/base.py`.
    workdir: the run's folder.
    stop: notes the signals.

  Raises:
    errors.ConfigError, records.RecordError: as `loop.train`.
  """
  record = records.Record(workdir)
  known = record.is_finished
  stop.on_end = functools.partial(endings.mark_killed, record)
  try:
    if stop():  # The folder is not ours yet: nothing is written.
      raise interruption.Interrupted(record.last_step())
    loop.train(config, workdir, stop=stop)
  except interruption.Interrupted as error:
    again = f'{record.path}: {error}; the same command continues it'
    print(again, file=sys.stderr)
    return interruption.STATUS
  if distributed.is_primary():
    status = record.status
    before = ' (trained before; nothing to do)' if known else ''
    print(f'{record.path}: {status["status"]} at step {status["step"]}{before}')
  return 0


def dry_run(config: ml_collections.ConfigDict) -> str:
  """What a run would need; see `estimate.report`. Nothing is left behind.

  Raises:
    errors.ConfigError: a config that cannot be trained.
  """
  with estimate.without_cache():
    return estimate.report(validation.check(config))
