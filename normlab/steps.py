"""One training step and one evaluation step: pure functions, top level.

`jit`, donation and input/output belong to the caller.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from normlab import metrics, optim
from normlab.data import DeviceSplit
from normlab.program import Program

Params = Any


class TrainState(struct.PyTreeNode):
  """All that a training step changes.

  Attributes:
    step: updates so far, int32.
    params: the model's parameters.
    model_state: its other collections (running statistics and the like); empty
      for models without state.
    opt_state: the optimizer's state.
  """

  step: jax.Array
  params: Params
  model_state: dict[str, Any]
  opt_state: optax.OptState


def init_state(
  key: jax.Array,
  images: jax.Array,
  hyper: dict[str, jax.Array],
  *,
  program: Program,
) -> TrainState:
  """The state before the first step.

  Args:
    key: of the initial parameters.
    images: float [batch, height, width, channels]; only the shape matters.
    hyper: the optimizer's numbers.
    program: model and optimizer.
  """
  variables = dict(program.model.init(key, images, train=False))
  params = variables.pop('params')
  optimizer = optim.build(name=program.optimizer, learning_rate=0.0, **hyper)
  return TrainState(
    jnp.zeros((), jnp.int32), params, variables, optimizer.init(params)
  )


def train_step(
  state: TrainState,
  data: DeviceSplit,
  rows: jax.Array,
  learning_rate: jax.Array,
  hyper: dict[str, jax.Array],
  key: jax.Array,
  *,
  program: Program,
) -> tuple[TrainState, dict[str, jax.Array]]:
  """One update on the examples in `rows`.

  Args:
    state: before the update.
    data: the training split.
    rows: int32 [batch], the examples of this step.
    learning_rate: of this step.
    hyper: the optimizer's other numbers.
    key: of the run; the step number is folded in here.
    program: model, optimizer and augmentation.

  Returns:
    The new state, and the batch's mean 'loss' and 'accuracy' before the update.
  """
  keys = jax.random.split(jax.random.fold_in(key, state.step))
  augment_key, dropout_key = keys
  noise_key = jax.random.fold_in(dropout_key, 1)
  images = program.augmentation(augment_key, data.images[rows])
  images, labels = data.standardize(images), data.labels[rows]

  def loss(params: Params) -> tuple[jax.Array, Any]:
    logits, model_state = program.model.apply(
      {'params': params, **state.model_state},
      images,
      train=True,
      mutable=list(state.model_state),
      rngs={'dropout': dropout_key, 'noise': noise_key},
    )
    means = metrics.mean(metrics.per_example(logits, labels))
    return means['loss'], (means, model_state)

  gradient, (means, model_state) = jax.grad(loss, has_aux=True)(state.params)
  optimizer = optim.build(
    name=program.optimizer, learning_rate=learning_rate, **hyper
  )
  updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  new = TrainState(state.step + 1, params, dict(model_state), opt_state)
  return new, means


def train_steps(
  state: TrainState,
  data: DeviceSplit,
  rows: jax.Array,
  learning_rates: jax.Array,
  hyper: dict[str, jax.Array],
  key: jax.Array,
  *,
  program: Program,
) -> tuple[TrainState, dict[str, jax.Array]]:
  """Several updates in one program, for accelerators: see `train_step`.

  Args:
    state: before the updates.
    data: the training split.
    rows: int32 [steps, batch].
    learning_rates: [steps].
    hyper: the optimizer's other numbers.
    key: of the run.
    program: model, optimizer and augmentation.

  Returns:
    The new state, and each step's means: [steps].
  """

  def body(state: TrainState, inputs: tuple[jax.Array, jax.Array]):
    return train_step(state, data, *inputs, hyper, key, program=program)

  return jax.lax.scan(body, state, (rows, learning_rates))


def eval_step(
  params: Params,
  model_state: dict[str, Any],
  data: DeviceSplit,
  rows: jax.Array,
  valid: jax.Array,
  *,
  program: Program,
) -> dict[str, jax.Array]:
  """Totals of the metrics over the valid rows, with running statistics.

  Args:
    params: the model's parameters.
    model_state: its other collections; read only.
    data: the split to evaluate on.
    rows: int32 [batch].
    valid: bool [batch]; False for rows that only fill the batch up.
    program: the model.
  """
  images, labels = data.standardize(data.images[rows]), data.labels[rows]
  variables = {'params': params, **model_state}
  logits = program.model.apply(variables, images, train=False)
  return metrics.totals(metrics.per_example(logits, labels), valid)
