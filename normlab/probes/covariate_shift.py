"""Internal covariate shift: Definition 2.1 of arXiv:1805.11604.

How an update of the earlier layers changes the gradient of a layer:

  G  = gradient of the kernel W_i at (W_1(t), ..., W_k(t))
  G' = the same at (W_1(t+1), ..., W_{i-1}(t+1), W_i(t), ..., W_k(t))

on one batch. W(t+1) is what the optimizer of the run, with its state, makes of
the gradient of that batch. All parameters of earlier layers move, also biases
and the scale and bias of their norms; the paper does not say whether they do.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from normlab.probes import forward_order, precise, subject
from normlab.program import training_step
from normlab.program.programs import Hyper, Program
from normlab.program.training_step import Params, TrainState


def measure(run: Any, state: TrainState, step: int) -> dict[str, jax.Array]:
  """The change of each chosen layer's gradient; one backward pass per layer.

  Returns:
    For each layer, float32 []: 'difference/layer2', |G - G'|, and
    'cosine/layer2', of the angle between the two: 1 where both are zero, 0
    where one is. The first layer has 0 and 1.
  """
  here = subject.at(run, step)
  before, _ = precise.gradient(here, state, state.params)
  after = _updated(state, before, here.hyper, program=here.program)
  network = forward_order.layers(here.program.model, here.examples[0].shape[1:])
  chosen = subject.chosen_layers(run, [layer.name for layer in network])
  found, earlier = {}, frozenset()
  for layer in network:
    if layer.name in chosen:
      moved = replaced(state.params, after, earlier)
      there, _ = precise.gradient(here, state, moved)
      pair = (_at(tree, layer.kernel) for tree in (before, there))
      difference, cosine = compare(*pair)
      found[f'difference/{layer.name}'] = difference
      found[f'cosine/{layer.name}'] = cosine
    earlier |= layer.parameters
  return found


@functools.partial(jax.jit, static_argnames='program')
def _updated(
  state: TrainState, gradient: Params, hyper: Hyper, *, program: Program
) -> Params:
  params, _ = training_step.updated(state, gradient, hyper, program=program)
  return params


def replaced(old: Params, new: Params, paths: frozenset[str]) -> Params:
  """`old`, with the parameters of these paths taken from `new`."""
  taken = dict(training_step.named_leaves(new))
  leaves = [
    taken[path] if path in paths else leaf
    for path, leaf in training_step.named_leaves(old)
  ]
  return jax.tree.unflatten(jax.tree.structure(old), leaves)


def _at(tree: Params, path: str) -> jax.Array:
  return dict(training_step.named_leaves(tree))[path]


@jax.jit
def compare(before: jax.Array, after: jax.Array) -> tuple[jax.Array, jax.Array]:
  """|before - after|, and the cosine of the angle between two equal shapes."""
  lengths = precise.norm(before), precise.norm(after)
  difference = precise.norm(before - after)
  units = [
    x / jnp.where(length > 0, length, 1)
    for x, length in zip((before, after), lengths, strict=True)
  ]
  # Not the product of the units, which rounds to less than 1 for equal ones.
  cosine = 1 - jnp.square(precise.norm(units[0] - units[1])) / 2
  one_is_zero = (lengths[0] == 0) != (lengths[1] == 0)
  return difference, jnp.where(one_is_zero, 0, cosine)
