"""What a run would need, without training it: nothing is written."""

import statistics
import time
from typing import Any

import jax
import ml_collections

from normlab import progress, run, steps, summary

STEPS = 10


def report(config: ml_collections.ConfigDict) -> str:
  """Compiles the step of a config, and times it on the real data.

  Args:
    config: as in `configs/base.py`, checked.

  Returns:
    The parameters, devices and data; memory of a device; seconds of compiling;
    milliseconds of a step, and what that makes for the run, without
    evaluations and checkpoints.
  """
  ready = run.prepare(config)
  try:
    state = run.initial_state(ready)
    described = summary.describe(ready, state)
    start = time.monotonic()
    compiled = run.compiled_step(ready, state)
    compiling = time.monotonic() - start
    seconds = step_seconds(ready, state)
  finally:
    ready.data.close()
  memory = compiled.memory_analysis()
  total = seconds * config.total_steps
  return '\n'.join(
    [
      described,
      f'memory of a device: {memory_text(memory)}',
      f'compiling: {compiling:.1f} s',
      f'a step: {1e3 * seconds:.2f} ms, {config.batch_size / seconds:,.0f} '
      f'images a second; all steps: {progress.duration(total)}, without '
      'evaluations',
    ]
  )


def step_seconds(ready: run.Run, state: steps.TrainState) -> float:
  """Median seconds of a step, of some calls after the first."""
  per_call = min(run.steps_per_call(ready.config), ready.config.total_steps)
  times = []
  for i in range(STEPS + 1):
    start = time.monotonic()
    first = i * per_call % max(1, ready.config.total_steps - per_call + 1)
    state, means = run.run_steps(ready, state, first, per_call)
    jax.block_until_ready((state, means))
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
