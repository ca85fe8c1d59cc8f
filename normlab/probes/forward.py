"""The forward pass of the coming step, and what is seen inside it."""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn

from normlab.probes import subject
from normlab.program import training_step
from normlab.program.programs import Hyper, Program

Seen = dict[str, jax.Array]
# Watches calls of a model's modules inside its context, and puts what it sees
# into the dictionary. The model to call is the one that the context gives.
Watch = Callable[
  [nn.Module, Seen], contextlib.AbstractContextManager[nn.Module]
]


def inputs(run: Any, state: training_step.TrainState, step: int) -> Any:
  """The arguments of `seen` for a run, its state, and updates so far."""
  at = subject.at(run, step)
  return {
    'params': state.params,
    'model_state': state.model_state,
    'images': at.examples[0],
    'hyper': at.hyper,
    'key': at.key,
    'program': at.program,
  }


def seen(
  watch: Watch,
  *,
  params: training_step.Params,
  model_state: dict[str, Any],
  images: jax.Array,
  hyper: Hyper,
  key: jax.Array,
  program: Program,
) -> Seen:
  """What `watch` sees in training mode: [microbatches, ...] each.

  The statistics are those that training would use: each microbatch has its own,
  and finds the running ones as the one before it left them. The last are
  dropped.

  Args:
    images: standardized, [batch, height, width, channels].
    key: of the model, at this step.
  """
  model = program.with_numbers(hyper).model
  parts = program.microbatches

  def one(
    model_state: dict[str, Any], i: int | jax.Array
  ) -> tuple[dict[str, Any], Seen]:
    found: Seen = {}
    part = key if parts == 1 else jax.random.fold_in(key, i)
    with watch(model, found) as watched:
      _, state = watched.apply(
        {'params': params, **model_state},
        training_step.microbatch(images, i, parts),
        train=True,
        mutable=list(model_state),
        rngs=training_step.rngs(part),
      )
    return dict(state), found

  if parts == 1:
    return jax.tree.map(lambda x: x[None], one(model_state, 0)[1])
  return training_step.over_microbatches(one, model_state, parts)[1]
