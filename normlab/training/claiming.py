"""Takes the work directory of a run."""

import contextlib
from collections.abc import Iterator

import ml_collections

from normlab import records, validation
from normlab.runtime import distributed


def taken(
  record: records.Record,
  config: ml_collections.ConfigDict,
  stack: contextlib.ExitStack,
) -> validation.CheckedConfig | None:
  """Checks the config, and takes the folder; None for a finished run.

  Args:
    stack: gives the folder back.

  Raises:
    errors.ConfigError, records.RecordError: as `loop.train`, in every process.
  """
  validation.check_complete(config)
  finished = False
  with by_primary() as is_ours:
    if is_ours:
      record.check_usable(config)
      if finished := record.is_finished:
        record.check_whole()
  if distributed.any_process(finished):
    return None
  checked = validation.check(config)
  with by_primary() as is_ours:
    if is_ours:
      stack.enter_context(record.locked())
      record.check_kinds()
  return checked


@contextlib.contextmanager
def by_primary() -> Iterator[bool]:
  """A block for process 0, whose errors all processes raise; is it this one?"""
  problem = None
  try:
    yield distributed.is_primary()
  except records.RecordError as error:
    problem = str(error)
  if problem := distributed.told_by_primary(problem):
    raise records.RecordError(problem)
