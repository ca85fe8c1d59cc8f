"""Trains one run: a config and a work directory in, a record out."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import ml_collections

from normlab import progress as progress_lib
from normlab import records, run, steps, validation
from normlab.train_log import DivergedError, TrainLog, is_due
from normlab.writers import (
  JsonLinesWriter,
  MultiWriter,
  TensorBoardWriter,
  Writer,
)


def train(
  config: ml_collections.ConfigDict,
  workdir: str,
  *,
  progress: Callable[[int], progress_lib.Progress] | None = None,
) -> records.Record:
  """Trains the run of `config` in `workdir`, or returns it if it is finished.

  A run that did not finish is started again, with the same numbers.

  Args:
    config: as in `configs/base.py`.
    workdir: the run's folder; created where it is missing.
    progress: makes what shows the progress, from the number of steps; default:
      a bar or lines on standard error.

  Returns:
    The record; its status is 'done', or 'diverged' with the step.

  Raises:
    names.ConfigError: a config that cannot be trained; nothing is written.
    records.RecordError: a folder that cannot be used; nothing is written.
  """
  record = records.Record(workdir)
  validation.check_complete(config)
  record.check_usable(config)
  if record.is_finished:
    return record
  validation.check(config)
  with record.locked(), recorded(record, config) as writer:
    with contextlib.closing(
      (progress or progress_lib.for_terminal)(config.total_steps)
    ) as display:
      loop(config, run.prepare(config), writer, display)
  return record


def loop(
  config: ml_collections.ConfigDict,
  ready: run.Run,
  writer: Writer,
  display: progress_lib.Progress,
) -> steps.TrainState:
  """Trains from the first step to the last; returns the final state.

  The metrics of a call are fetched after the next call is dispatched, so that
  the device never waits for this loop.

  Raises:
    DivergedError: a loss that is not finite.
  """
  state, total = ready.state, config.total_steps
  log = TrainLog(config, writer, display, ready.learning_rates)
  for first, count in run.calls(config):
    state, means = run.run_steps(ready, state, first, count)
    log.add(first, means)
    last = first + count
    if is_due(last, config.eval_every) or last == total:
      log.flush()
      evaluate(config, ready, state, last, 'validation', writer, display)
  evaluate(config, ready, state, total, 'test', writer, display)
  return state


def evaluate(
  config: ml_collections.ConfigDict,
  ready: run.Run,
  state: steps.TrainState,
  step: int,
  split: str,
  writer: Writer,
  display: progress_lib.Progress,
) -> None:
  """Evaluates on a whole split, and writes the result down.

  Raises:
    DivergedError: a loss that is not finite.
  """
  values = run.evaluate(ready, state, split, config.eval_batch_size)
  writer.write(step, split, values)
  display.evaluated(step, split, values)
  if not math.isfinite(values['loss']):
    raise DivergedError(step)


@contextlib.contextmanager
def recorded(
  record: records.Record, config: ml_collections.ConfigDict
) -> Iterator[Writer]:
  """Opens the record of a run, and writes down how the run ends."""
  start = time.monotonic()
  # Without a config the folder never held a run, and its events are not ours.
  if record.config is not None:
    for stale in record.path.glob('events.out.tfevents.*'):
      stale.unlink()
  record.write_config(config)
  record.write_status('running')
  writer = MultiWriter(
    [
      JsonLinesWriter(record.path / records.METRICS),
      TensorBoardWriter(record.path),
    ]
  )

  def end(status: str, **details: Any) -> None:
    writer.close()
    seconds = round(time.monotonic() - start, 2)
    record.write_status(status, **details, seconds=seconds)

  try:
    yield writer
  except DivergedError as error:
    end('diverged', step=error.step)
  except KeyboardInterrupt:
    end('interrupted', step=record.last_step())
    raise
  except Exception as error:
    end('failed', step=record.last_step(), error=repr(error))
    raise
  else:
    end('done', step=config.total_steps)
