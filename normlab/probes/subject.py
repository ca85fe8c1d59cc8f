"""What a probe measures: the network, the batch and the numbers of a step."""

import dataclasses
from typing import Any, NamedTuple

import jax

from normlab.program import training_step
from normlab.program.programs import Hyper, Program


class Subject(NamedTuple):
  """A run at a step, as probes measure it.

  Attributes:
    program: of the run, without dropout and augmentation; static for `jax.jit`.
    hyper: the numbers of this step, with its learning rate.
    examples: standardized images float32 [batch, height, width, channels] and
      labels [batch], of the coming step.
    key: for norms that draw noise: the same for every use at a step.
  """

  program: Program
  hyper: Hyper
  examples: tuple[jax.Array, jax.Array]
  key: jax.Array


def at(run: Any, step: int) -> Subject:
  """The subject of a `preparation.PreparedRun` after `step` updates."""
  step = min(step, run.config.total_steps - 1)
  batch = run.data.upcoming(step)
  _, model_key = training_step.keys_of_step(run.key, step)
  return Subject(
    program=dataclasses.replace(
      run.program, model=run.program.model.clone(dropout=0.0)
    ),
    hyper=run.hyper.with_rates(run.learning_rates.of(step, 1)).of_step(0),
    examples=(run.standardizer.standardize(batch.images), batch.labels),
    key=model_key,
  )
