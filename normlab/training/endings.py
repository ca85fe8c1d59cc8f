"""How a run ends: the status in its record, by the exception that ended it."""

import contextlib
import errno
from collections.abc import Callable, Iterator
from typing import Any

import ml_collections

from normlab import errors, records
from normlab.journal.journals import Journal
from normlab.runtime import devices, distributed
from normlab.runtime.interruption import Interrupted
from normlab.training.divergence import DivergedError


class LostError(Exception):
  """A run whose process ended before it could say how the run ended."""


# Exception, status, and fields of the status. The step is that of the last row
# where no other is given. A run that no exception ends is done.
ENDINGS: tuple[
  tuple[type[BaseException], str, Callable[[Any], dict[str, Any]]], ...
] = (
  (DivergedError, 'diverged', lambda e: {'step': e.step, **e.details}),
  (Interrupted, 'interrupted', lambda e: {'step': e.step}),
  (KeyboardInterrupt, 'interrupted', lambda _: {}),
  (LostError, 'failed', lambda e: {'error': str(e)}),
  (Exception, 'failed', lambda e: {'error': repr(e)}),
)
UNWRITABLE = (
  *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS),
  *(errno.EACCES, errno.EISDIR, errno.ENOTDIR),
)


def ending(
  error: BaseException, record: records.Record
) -> tuple[str, dict[str, Any]]:
  """The status of a run that an exception ends, and the status' fields."""
  status, fields = next(
    (status, fields)
    for kind, status, fields in ENDINGS
    if isinstance(error, kind)
  )
  return status, {'step': record.last_step(), **fields(error)}


def mark_killed(record: records.Record) -> None:
  """Says how a run ended whose process is ended before the run could say so.

  That is by a second signal, or as the run took too long after the first.
  """
  started = record.path.is_dir() and not record.is_finished
  if started and distributed.is_primary():
    mark(KeyboardInterrupt(), record)


def mark(error: BaseException, record: records.Record) -> None:
  """Writes the status of a run that an exception has ended."""
  status, fields = ending(error, record)
  record.write_status(status, **fields)


@contextlib.contextmanager
def recorded(
  record: records.Record,
  config: ml_collections.ConfigDict,
  journal: Journal,
) -> Iterator[None]:
  """Writes down the config, and how the run ends.

  Raises:
    errors.ConfigError, records.RecordError: what `readable` makes of an error.
  """
  if not distributed.is_primary():
    with contextlib.suppress(DivergedError):
      yield
    return

  def end(status: str, fields: dict[str, Any]) -> None:
    if status in records.FINISHED:
      fields['rows'] = journal.rows
    journal.close()
    try:
      record.write_status(status, **fields, seconds=round(journal.seconds, 2))
    except OSError as error:
      raise readable(error, record) from error

  try:
    record.write_config(config)
    record.write_status('running')
    yield
  except (DivergedError, Interrupted, KeyboardInterrupt) as error:
    status, fields = ending(error, record)
    end(status, fields)
    if status not in records.FINISHED:
      raise
  except Exception as error:
    problem = readable(error, record)
    if not is_gone(record):
      with contextlib.suppress(OSError, records.RecordError):
        end(*ending(problem, record))
    raise problem from error
  else:
    end('done', {'step': config.total_steps})


def readable(error: Exception, record: records.Record) -> Exception:
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
