"""What a run would need, without training it: nothing is written."""

import contextlib
import statistics
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import ml_collections

from normlab import validation
from normlab.program import training_step
from normlab.runtime import devices, progress_bar
from normlab.training import description, preparation

STEPS = 10


class Measured(NamedTuple):
  """What a run would need.

  Attributes:
    described: its parameters, devices and data, in words.
    memory: of a device, in words.
    compiling: seconds.
    step: seconds of a step.
  """

  described: str
  memory: str
  compiling: float
  step: float


def report(config: ml_collections.ConfigDict) -> str:
  """Compiles the step of a config, and times it on the real data.

  Args:
    config: as in `configs/base.py`, checked.

  Returns:
    The parameters, devices and data; memory of a device; seconds of compiling;
    milliseconds of a step, and what that makes for the run, without
    evaluations and checkpoints.
  """
  found = measure(config)
  total = found.step * config.total_steps
  return '\n'.join(
    [
      found.described,
      f'memory of a device: {found.memory}',
      f'compiling: {found.compiling:.1f} s',
      f'a step: {1e3 * found.step:.2f} ms, '
      f'{config.batch_size / found.step:,.0f} images a second; all steps: '
      f'{progress_bar.duration(total)}, without evaluations',
    ]
  )


def measure(config: ml_collections.ConfigDict) -> Measured:
  """Compiles the step of a config, and times it; nothing is left behind.

  Raises:
    errors.ConfigError: it needs more memory than there is.
  """
  with without_cache(), devices.enough_memory():
    ready = preparation.prepare(validation.check(config))
    try:
      state = preparation.initial_state(ready)
      described = description.describe(ready, state)
      start = time.monotonic()
      compiled = preparation.compiled_step(ready, state)
      compiling = time.monotonic() - start
      seconds = step_seconds(ready, state)
    finally:
      ready.data.close()
  memory = memory_text(compiled.memory_analysis())
  return Measured(described, memory, compiling, seconds)


@contextlib.contextmanager
def without_cache() -> Iterator[None]:
  """Leaves nothing in the compilation cache while the block lasts."""
  was_enabled = jax.config.jax_enable_compilation_cache
  jax.config.update('jax_enable_compilation_cache', False)
  try:
    yield
  finally:
    jax.config.update('jax_enable_compilation_cache', was_enabled)


def step_seconds(
  ready: preparation.Run, state: training_step.TrainState
) -> float:
  """Median seconds of a step, of some calls after the first."""
  per_call = min(
    preparation.steps_per_call(ready.config), ready.config.total_steps
  )
  times = []
  for i in range(STEPS + 1):
    start = time.monotonic()
    first = i * per_call % max(1, ready.config.total_steps - per_call + 1)
    state, metrics = preparation.run_steps(ready, state, first, per_call)
    jax.block_until_ready((state, metrics))
    times.append((time.monotonic() - start) / per_call)
  return statistics.median(times[1:])


def memory_text(memory: Any) -> str:
  """What a step holds at most, from the compiler's own plan."""
  held = memory.argument_size_in_bytes
  held += memory.output_size_in_bytes - memory.alias_size_in_bytes
  most = held + memory.temp_size_in_bytes
  return (
    f'{mebibytes(most)} at most: {mebibytes(held)} of state and examples, '
    f'{mebibytes(memory.temp_size_in_bytes)} of a step'
  )


def mebibytes(count: int) -> str:
  """Bytes in MiB."""
  return f'{count / 2**20:,.1f} MiB'
