"""Takes the work directory of a run, and writes down how the run ends."""

import contextlib
import errno
from collections.abc import Iterator
from typing import Any

import ml_collections

from normlab import errors, records, validation
from normlab.journal.journals import Journal
from normlab.runtime import devices, distributed
from normlab.runtime.interruption import Interrupted
from normlab.training.training_rows import DivergedError

UNWRITABLE = (
  *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS),
  *(errno.EACCES, errno.EISDIR, errno.ENOTDIR),
)


def taken(
  record: records.Record,
  config: ml_collections.ConfigDict,
  stack: contextlib.ExitStack,
) -> bool:
  """Checks the config, and takes the folder; False for a finished run.

  Args:
    record: of the run.
    config: likewise.
    stack: gives the folder back.

  Raises:
    errors.ConfigError, records.RecordError: as `loop.train`, in every process.
  """
  validation.check_complete(config)
  with by_primary() as is_ours:
    finished = is_ours and is_finished(record, config)
  if distributed.any_process(finished):
    return False
  validation.check(config)
  with by_primary() as is_ours:
    if is_ours:
      stack.enter_context(record.locked())
      record.check_kinds()
  return True


def is_finished(
  record: records.Record, config: ml_collections.ConfigDict
) -> bool:
  """Whether the folder, which must be one for this config, has its result.

  Raises:
    records.RecordError: it is not, or it has lost a part of its result.
  """
  record.check_usable(config)
  if record.is_finished:
    record.check_whole()
  return record.is_finished


@contextlib.contextmanager
def by_primary() -> Iterator[bool]:
  """A block for process 0, whose errors all processes raise; is it this one?

  Raises:
    records.RecordError: as in process 0.
  """
  problem = None
  try:
    yield distributed.is_primary()
  except records.RecordError as error:
    problem = str(error)
  if problem := distributed.told_by_primary(problem):
    raise records.RecordError(problem)


@contextlib.contextmanager
def recorded(
  record: records.Record,
  config: ml_collections.ConfigDict,
  journal: Journal,
) -> Iterator[None]:
  """Writes down the config, and how the run ends."""
  if not distributed.is_primary():
    with contextlib.suppress(DivergedError):
      yield
    return

  def end(status: str, **details: Any) -> None:
    if status in records.FINISHED:
      details['rows'] = journal.rows
    journal.close()
    try:
      record.write_status(status, **details, seconds=round(journal.seconds, 2))
    except OSError as error:
      raise written(error, record) from error

  try:
    record.write_config(config)
    record.write_status('running')
    yield
  except DivergedError as error:
    end('diverged', step=error.step, **error.details)
  except Interrupted as error:
    end('interrupted', step=error.step)
    raise
  except KeyboardInterrupt:
    end('interrupted', step=record.last_step())
    raise
  except Exception as error:
    problem = written(error, record)
    if not is_gone(record):
      with contextlib.suppress(OSError, records.RecordError):
        end('failed', step=record.last_step(), error=repr(problem))
    raise problem from error
  else:
    end('done', step=config.total_steps)


def written(error: Exception, record: records.Record) -> Exception:
  """The error, in one line if the disk, folder or memory is at fault."""
  of_files = isinstance(error, OSError | records.RecordError)
  if of_files and is_gone(record):
    return records.RecordError(
      f'workdir {str(record.path)!r} was deleted or renamed while the run '
      'trained in it; a renamed one continues with its new name as --workdir'
    )
  if problem := devices.memory_problem(error):
    return errors.ConfigError(problem)
  if not isinstance(error, OSError) or error.errno not in UNWRITABLE:
    return error
  return records.RecordError(
    f'the run in {str(record.path)!r} cannot be written: {error.strerror}; '
    'start it again when that is solved, and it continues from its last '
    'checkpoint'
  )


def is_gone(record: records.Record) -> bool:
  """Whether the folder is no longer the one that was taken.

  A checkpoint that was being written may have made its folder again.
  """
  return not (record.path / records.LOCK).exists()
