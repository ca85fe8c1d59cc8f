"""Gradients for probes: in float32 at full precision, at any parameters."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from normlab.probes.subject import Subject
from normlab.program import training_step
from normlab.program.programs import Hyper, Program
from normlab.program.training_step import Params, TrainState


def gradient(
  here: Subject, state: TrainState, params: Params
) -> tuple[Params, jax.Array]:
  """The gradient and the loss of training at `params`, all in float32.

  In training mode, with the other collections of `state`, which do not move. A
  bfloat16 network is computed in float32, and accelerators multiply without
  rounding to shorter floats: probes compare gradients that are nearly equal.
  Equal parameters give equal bits, as all calls share one compiled program.
  """
  program = here.program
  if hasattr(program.model, 'dtype'):
    model = program.model.clone(dtype=jnp.float32)
    program = dataclasses.replace(program, model=model)
  return _gradient(
    params,
    state.model_state,
    here.examples,
    here.key,
    here.hyper,
    program=program,
  )


@functools.partial(jax.jit, static_argnames='program')
def _gradient(
  params: Params,
  model_state: dict[str, Any],
  examples: tuple[jax.Array, jax.Array],
  key: jax.Array,
  hyper: Hyper,
  *,
  program: Program,
) -> tuple[Params, jax.Array]:
  with jax.default_matmul_precision('highest'):
    found, metrics, _ = training_step.accumulated_gradient(
      params,
      model_state,
      examples,
      key,
      program=program.with_numbers(hyper),
      label_smoothing=hyper.label_smoothing,
    )
  return found, metrics['loss']


def norm(tree: Any) -> jax.Array:
  """The Euclidean norm of all values, float32 [].

  Scaled by the largest one, as squares below 1e-38 would be lost.
  """
  largest = jnp.stack([jnp.abs(x).max() for x in jax.tree.leaves(tree)]).max()
  scale = jnp.where(largest > 0, largest, 1)
  return scale * optax.tree.norm(jax.tree.map(lambda x: x / scale, tree))
