"""Periods of a run: what happens at which steps, and which steps are a call."""

from collections.abc import Iterator

import jax
import ml_collections

from normlab import data

CHECKPOINT_EVERY = 500
MEASURE_EVERY = 100
# Of accelerators.
STEPS_PER_CALL = 25


def is_due(step: int, every: int) -> bool:
  """Whether something that happens every `every` steps happens at `step`."""
  return step % every == 0


def calls(
  config: ml_collections.ConfigDict, start: int = 0
) -> Iterator[tuple[int, int]]:
  """Splits the run into compiled calls: (first step, from 0; number of steps).

  No call crosses a training row, an evaluation, a measurement or a checkpoint.
  Where the calls from `start` on begin depends on `start` alone, so that a run
  which is resumed after any call makes the calls of one that never stopped.
  """
  per_call = steps_per_call(config)
  periods = config.log_every, config.eval_every, checkpoint_every(config)
  if measured := measure_every(config):
    periods += (measured,)
  step = start
  while step < config.total_steps:
    stops = [(step // every + 1) * every for every in periods]
    end = min(step + per_call, *stops, config.total_steps)
    yield step, end - step
    step = end


def steps_per_call(config: ml_collections.ConfigDict) -> int:
  """Steps of a call: one on CPU, and where examples are streamed."""
  if config.steps_per_call is not None:
    return config.steps_per_call
  streamed = data.is_streamed(config.data.name)
  return 1 if streamed or jax.default_backend() == 'cpu' else STEPS_PER_CALL


def checkpoint_every(config: ml_collections.ConfigDict) -> int:
  """Steps between two checkpoints."""
  return config.checkpoint_every or CHECKPOINT_EVERY


def measure_every(config: ml_collections.ConfigDict) -> int | None:
  """Steps between two measurements of the probes; None without probes."""
  if not config.probes.names:
    return None
  return config.probes.every or MEASURE_EVERY
