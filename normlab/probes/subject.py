"""What a probe measures: the network, the batch and the numbers of a step."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from normlab.program import training_step
from normlab.program.programs import Hyper, Program

# Factors of the learning rate of a step. The ends are those of Figure 4 of
# arXiv:1805.11604; that there are four is our choice.
STEP_LENGTHS = (0.5, 1.0, 2.0, 4.0)


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
  batch = run.feed.upcoming(step)
  _, model_key = training_step.keys_of_step(run.key, step)
  # After the last step there is a next batch, and no further learning rate.
  last = min(step, run.config.total_steps - 1)
  model = run.program.model
  if hasattr(model, 'dropout'):
    model = model.clone(dropout=0.0)
  return Subject(
    program=dataclasses.replace(run.program, model=model),
    hyper=run.hyper.with_rates(run.learning_rates.of(last, 1)).of_step(0),
    examples=(run.standardizer.standardize(batch.images), batch.labels),
    key=model_key,
  )


def chosen_layers(run: Any, known: Sequence[str]) -> Sequence[str]:
  """The layers that `config.probes.layers` names; None is all `known` ones."""
  chosen = run.config.probes.layers
  return known if chosen is None else chosen


def step_lengths(run: Any) -> Sequence[float]:
  """Factors of the learning rate: `config.probes.step_lengths`, or ours."""
  return run.config.probes.step_lengths or STEP_LENGTHS
