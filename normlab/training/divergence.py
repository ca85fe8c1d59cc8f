"""Diagnosis of a divergence: finds the last state that was finite.

Training does not check every tensor. When a loss is not finite, the steps since
the newest checkpoint are repeated one at a time, and checked.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from normlab.journal.checkpoints import Position
from normlab.journal.journals import Journal
from normlab.norms.core import calls
from normlab.program import training_step
from normlab.training import compiled_calls, preparation


class DivergedError(Exception):
  """The loss is not finite."""

  def __init__(self, step: int, split: str = 'train'):
    """Notes the step, from 1, and the split whose loss was not finite."""
    super().__init__(f'the {split} loss is not finite at step {step}')
    self.step = step
    self.split = split
    # Findings about the divergence, for the status of the run.
    self.details: dict[str, Any] = {}


def keep_last_finite(
  run: preparation.PreparedRun,
  journal: Journal,
  error: DivergedError,
  frozen: training_step.TrainState | None = None,
) -> None:
  """Saves the last state that was finite, and finds out what was not, if asked.

  What was found is added to the error.

  Args:
    frozen: the state whose loss that was, where it is at hand.
  """
  # A training loss is that of the state before its step.
  step = error.step - (error.split == 'train')
  state = frozen
  if state is None or not all_finite(state):
    step, state = last_finite(run, journal, step)
  journal.save(state, journal.position(step, stream=run.feed.state()))
  journal.wait()
  error.details |= {'split': error.split, 'last_finite_step': step}
  if run.config.debug_nans:
    tensor = first_nonfinite(run, state, step)
    error.details['first_nonfinite'] = tensor or f'{error.split} loss'


def last_finite(
  run: preparation.PreparedRun, journal: Journal, most: int
) -> tuple[int, training_step.TrainState]:
  """The newest state whose tensors are all finite.

  Args:
    run: the run; its stream of examples stands at the next step afterwards.
    most: updates that the state may have at most.

  Returns:
    Updates so far, and the state after them.
  """
  state = preparation.initial_state(run)
  state, position = journal.restore(state, most) or (state, Position())
  at, stream = position.step, position.stream or run.stream_start
  run.feed.restore(stream)
  while at < most:
    before = training_step.copied(state)
    state, _ = compiled_calls.run_steps(run, state, at, 1)
    if not all_finite(state):
      run.feed.restore(stream)
      return at, before
    at, stream = at + 1, run.feed.state()
  return at, state


def first_nonfinite(
  run: preparation.PreparedRun, state: training_step.TrainState, at: int
) -> str | None:
  """The first tensor of a step that is not finite.

  Args:
    run: the run, whose stream of examples stands at this step.

  Returns:
    As 'activation layer1/norm', 'loss', 'gradient layer1/conv/kernel',
    'parameter ...', 'model_state ...' or 'opt_state ...' after the update; None
    where all are finite.
  """
  inputs = run.feed.inputs(at, 1)
  for kind, tensors in _tensors_of_step(run, state, inputs, at):
    for path, leaf in tensors:
      if not bool(jnp.isfinite(leaf).all()):
        return f'{kind} {path}'.strip()
  return None


def _tensors_of_step(
  run: preparation.PreparedRun,
  state: training_step.TrainState,
  inputs: Any,
  at: int,
) -> Iterator[tuple[str, Iterable[tuple[str, jax.Array]]]]:
  program = run.program
  batch = inputs.batch(0)
  augment_key, model_key = training_step.keys_of_step(run.key, state.step)
  images = program.augmentation(augment_key, batch.images)
  images = run.standardizer.standardize(images)
  paths = []

  def forward(params: Any) -> tuple[jax.Array, list[Any]]:
    with outputs_recorded() as outputs:
      logits, _ = program.model.apply(
        {'params': params, **state.model_state},
        images,
        train=True,
        mutable=list(state.model_state),
        rngs=training_step.rngs(model_key),
      )
    paths[:] = [path for path, _ in outputs]
    metrics = training_step.training_metrics(
      logits, batch.labels, run.hyper.label_smoothing
    )
    return metrics['loss'], [output for _, output in outputs]

  grad = jax.jit(jax.value_and_grad(forward, has_aux=True))
  (loss, outputs), gradient = grad(state.params)
  yield 'activation', list(zip(paths, outputs, strict=True))
  yield 'loss', [('', loss)]
  yield 'gradient', training_step.named_leaves(gradient)
  new, _ = compiled_calls.train_steps(
    training_step.copied(state),
    *compiled_calls.arguments_of(run, at, inputs, 1),
    program=program,
  )
  yield 'parameter', training_step.named_leaves(new.params)
  yield 'model_state', training_step.named_leaves(new.model_state)
  yield 'opt_state', training_step.named_leaves(new.opt_state)


@contextlib.contextmanager
def outputs_recorded() -> Iterator[list[tuple[str, jax.Array]]]:
  """Lists the path and output of every module, in the order they are done."""
  found = []

  def record(module: nn.Module, call: Any, *args: Any, **kwargs: Any) -> Any:
    output = call(*args, **kwargs)
    path = '/'.join(module.path) or 'logits'
    found.extend((path, leaf) for leaf in jax.tree.leaves(output))
    return output

  with calls.replaced(record):
    yield found


@jax.jit
def all_finite(state: training_step.TrainState) -> jax.Array:
  """Whether all numbers of a state are finite."""
  return jnp.all(
    jnp.array([jnp.isfinite(x).all() for x in jax.tree.leaves(state)])
  )
