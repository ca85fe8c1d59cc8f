"""Training steps: pure functions of state, batch, numbers and key.

They are compiled in `training.compiled_calls`.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import struct

from normlab.data import Examples, Standardizer
from normlab.program.metrics import (
  OwnMetrics,
  own_per_example,
  per_example,
  smoothed,
)
from normlab.program.programs import Hyper, Program

# Microbatches that are not a loop on CPU.
MOST_UNROLLED = 16

Tree = TypeVar('Tree')
Params = Any
Metrics = dict[str, jax.Array]


class TrainState(struct.PyTreeNode):
  """All that a training step changes.

  Attributes:
    step: updates so far, int32.
    params: the model's parameters.
    model_state: its other collections (running statistics and the like); empty
      for models without state.
    opt_state: the optimizer's state.
    ema: moving average of the parameters; None without one.
  """

  step: jax.Array
  params: Params
  model_state: dict[str, Any]
  opt_state: optax.OptState
  ema: Params | None = None


class Inputs(Protocol):
  """The examples of a call: `memory_feed.Resident`, `stream_feed.Streamed`."""

  def batch(self, i: int | jax.Array) -> Examples:
    """The i-th batch of the call."""


def init_state(
  key: jax.Array, images: jax.Array, hyper: Hyper, *, program: Program
) -> TrainState:
  """The state before the first step.

  Args:
    images: float [batch, height, width, channels]; only the shape matters.
  """
  variables = dict(program.model.init(key, images, train=False))
  params = variables.pop('params')
  optimizer = program.build_optimizer(hyper)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    model_state=variables,
    opt_state=optimizer.init(params),
    ema=None if hyper.ema_decay is None else params,
  )


def train_step(
  state: TrainState,
  batch: Examples,
  standardizer: Standardizer,
  hyper: Hyper,
  key: jax.Array,
  *,
  program: Program,
) -> tuple[TrainState, Metrics]:
  """One update.

  Images are augmented and standardized as `data.pixels` says.

  Args:
    key: of the run; the step number is folded in here.

  Returns:
    The new state; and the batch's mean 'loss' and 'accuracy' before the update,
    and the 'gradient_norm', of all parameters together.
  """
  # A run alone has all numbers of its model in the program already.
  program = program.with_numbers(hyper)
  augment_key, model_key = keys_of_step(key, state.step)
  images = program.augmentation(augment_key, batch.images)
  examples = standardizer.standardize(images), batch.labels
  gradient, metrics, model_state = accumulated_gradient(
    state.params,
    state.model_state,
    examples,
    model_key,
    program=program,
    label_smoothing=hyper.label_smoothing,
  )
  params, opt_state = updated(state, gradient, hyper, program=program)
  new = TrainState(
    step=state.step + 1,
    params=params,
    model_state=model_state,
    opt_state=opt_state,
    ema=None
    if state.ema is None
    else moving_average(state.ema, params, hyper.ema_decay),
  )
  each = program.log_layer_norms
  return new, metrics | euclidean_norms('gradient_norm', gradient, each=each)


def updated(
  state: TrainState, gradient: Params, hyper: Hyper, *, program: Program
) -> tuple[Params, optax.OptState]:
  """The parameters and the optimizer's state after a step along a gradient."""
  optimizer = program.build_optimizer(hyper)
  updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
  return optax.apply_updates(state.params, updates), opt_state


def repeated(
  step: Callable[..., tuple[Any, Metrics]], state: Any, count: int
) -> tuple[Any, Metrics]:
  """Makes the steps of a call.

  Args:
    step: of the state and the number of the step in this call; returns the new
      state and the metrics.

  Returns:
    The state after them, and each step's metrics: [steps].
  """
  if count > 1:
    return jax.lax.scan(step, state, jnp.arange(count))
  state, metrics = step(state, 0)
  return state, jax.tree.map(lambda x: x[None], metrics)


def accumulated_gradient(
  params: Params,
  model_state: dict[str, Any],
  examples: tuple[jax.Array, jax.Array],
  key: jax.Array,
  *,
  program: Program,
  label_smoothing: jax.Array | None = None,
) -> tuple[Params, Metrics, dict[str, Any]]:
  """Mean gradient, metrics and new state, one microbatch after the other.

  Each microbatch is normalized with statistics of its own, and moves the
  running statistics on (arXiv:1702.03275, section 4.2).

  Args:
    examples: images [batch, ...] and labels [batch].
    label_smoothing: as of `training_metrics`.
  """
  parts = program.microbatches
  gradient_of_part = functools.partial(
    gradient_of, program=program, label_smoothing=label_smoothing
  )
  if parts == 1:
    return gradient_of_part(params, model_state, examples, key)

  def add(carried: tuple[Any, ...], i: jax.Array):
    sums, model_state = carried
    part = microbatch(examples, i, parts)
    *terms, model_state = gradient_of_part(
      params, model_state, part, jax.random.fold_in(key, i)
    )
    return (jax.tree.map(jnp.add, sums, terms), model_state), None

  shapes = jax.eval_shape(
    lambda: gradient_of_part(params, model_state, examples, key)
  )
  zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), list(shapes[:2]))
  (sums, model_state), _ = over_microbatches(add, (zeros, model_state), parts)
  gradient, metrics = jax.tree.map(lambda x: x / parts, sums)
  return gradient, metrics, model_state


def microbatch(examples: Tree, i: int | jax.Array, parts: int) -> Tree:
  """The i-th of the parts of a batch, [batch, ...] each.

  Every parts-th example: a batch that is sharded stays where it is.
  """
  return jax.tree.map(
    lambda x: x.reshape(-1, parts, *x.shape[1:])[:, i], examples
  )


def over_microbatches(
  one: Callable[..., Any], carried: Any, parts: int
) -> tuple[Any, Any]:
  """`jax.lax.scan` of `one(carried, i)` over the parts of a batch."""
  # On a CPU a loop would run the convolutions many times slower; a hundred
  # copies of the network would not compile in time.
  unroll = jax.default_backend() == 'cpu' and parts <= MOST_UNROLLED
  return jax.lax.scan(one, carried, jnp.arange(parts), unroll=unroll)


def gradient_of(
  params: Params,
  model_state: dict[str, Any],
  examples: tuple[jax.Array, jax.Array],
  key: jax.Array,
  *,
  program: Program,
  label_smoothing: jax.Array | None = None,
) -> tuple[Params, Metrics, dict[str, Any]]:
  """Gradient of the mean loss, the metrics, and the model's new state."""
  images, labels = examples

  def loss(params: Params) -> tuple[jax.Array, Any]:
    logits, new_state = program.model.apply(
      {'params': params, **model_state},
      images,
      train=True,
      mutable=list(model_state),
      rngs=rngs(key),
    )
    metrics = training_metrics(
      logits, labels, label_smoothing, own=program.metrics
    )
    return metrics['loss'], (metrics, dict(new_state))

  gradient, (metrics, new_state) = jax.grad(loss, has_aux=True)(params)
  return gradient, metrics, new_state


def training_metrics(
  logits: jax.Array,
  labels: jax.Array,
  label_smoothing: jax.Array | None,
  own: OwnMetrics = (),
) -> Metrics:
  """The mean metrics of a batch; the 'loss' is what training lowers.

  Args:
    logits: [batch, classes].
    labels: int32 [batch].
    label_smoothing: share of the target that is spread over all classes; None
      is none.
    own: further metrics.
  """
  values = per_example(logits, labels)
  values |= own_per_example(own, jax.lax.stop_gradient(logits), labels)
  if label_smoothing is not None:
    values['loss'] = smoothed(values['loss'], logits, label_smoothing)
  return {name: value.mean() for name, value in values.items()}


def keys_of_step(key: jax.Array, step: jax.Array) -> jax.Array:
  """The keys of a step's augmentation and of its model."""
  return jax.random.split(jax.random.fold_in(key, step))


def rngs(key: jax.Array) -> dict[str, jax.Array]:
  """The keys that a model and its norms ask for in training."""
  return {'dropout': key, 'noise': jax.random.fold_in(key, 1)}


def moving_average(old: Params, new: Params, decay: jax.Array) -> Params:
  """decay * old + (1 - decay) * new."""
  return jax.tree.map(lambda o, n: o + (1 - decay) * (n - o), old, new)


def euclidean_norms(name: str, tree: Params, *, each: bool) -> Metrics:
  """The Euclidean norm of all tensors together.

  Args:
    each: adds the norm of each tensor, as 'gradient_norm/layer1/conv/kernel'.
  """
  found = {name: optax.tree.norm(tree)}
  if each:
    for path, tensor in named_leaves(tree):
      found[f'{name}/{path}'] = optax.tree.norm(tensor)
  return found


@jax.jit
def copied(tree: Tree) -> Tree:
  """Arrays that remain when the others are donated."""
  return jax.tree.map(jnp.copy, tree)


def named_leaves(tree: Any) -> Iterator[tuple[str, Any]]:
  """The leaves of a tree with their paths, as 'layer1/conv/kernel'."""
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    yield jax.tree_util.keystr(path, simple=True, separator='/'), leaf
