"""Trains one run from a command line: signals, processes, exit status."""

import contextlib
import functools
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import ml_collections

from normlab import errors, records, validation
from normlab.runtime import devices, distributed, interruption
from normlab.training import (
  compiled_calls,
  description,
  endings,
  loop,
  preparation,
)


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
  """The parameters, data and memory of a run; leaves nothing behind.

  Raises:
    errors.ConfigError: a config that cannot be trained, or one that needs more
      memory than there is.
  """
  with without_cache(), devices.enough_memory():
    checked = validation.check(config)
    print_notes([checked])
    run = preparation.prepare(checked)
    with contextlib.closing(run.feed):
      state = preparation.initial_state(run)
      compiled = compiled_calls.compiled_step(run, state)
  memory = memory_text(compiled.memory_analysis())
  return f'{description.describe(run, state)}\nmemory of a device: {memory}'


def print_notes(configs: Iterable[validation.CheckedConfig]) -> None:
  """Prints what is allowed and seldom meant."""
  for line in validation.notes(configs):
    print(f'note: {line}', file=sys.stderr)


@contextlib.contextmanager
def without_cache() -> Iterator[None]:
  """Leaves nothing in the compilation cache while the block lasts."""
  was_enabled = jax.config.jax_enable_compilation_cache
  jax.config.update('jax_enable_compilation_cache', False)
  try:
    yield
  finally:
    jax.config.update('jax_enable_compilation_cache', was_enabled)


def memory_text(memory: Any) -> str:
  """The most memory that a step holds, from the compiler's own plan."""
  held = memory.argument_size_in_bytes
  held += memory.output_size_in_bytes - memory.alias_size_in_bytes
  step = memory.temp_size_in_bytes
  most, held, step = (
    f'{count / 2**20:,.1f} MiB' for count in (held + step, held, step)
  )
  return f'{most} at most: {held} of state and examples, {step} of a step'
