"""The loss around the parameters: section 3.2 of arXiv:1805.11604, Figure 4.

At step lengths a = factor * learning rate, with g the gradient of the batch,
along a direction d, which is g or random with the norm of g:

  loss(w - a d),  |g - gradient(w - a d)|,  and their ratio to |a d|: smoothness

The number and the spacing of the lengths are our choice: the paper has them
from 1/2 to 4 times the learning rate. The largest smoothness tends to be that
of the smallest length, so networks are compared at the same lengths.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from normlab.probes import precise, subject
from normlab.program.training_step import Params, TrainState

# Another number than those that training folds into its keys.
DIRECTION = 2**31

Point = Callable[[Params], tuple[Params, jax.Array]]


def measure(run: Any, state: TrainState, step: int) -> dict[str, jax.Array]:
  """The loss and its gradient at the step lengths of `config.probes`.

  Two backward passes per length and one more.

  Returns:
    float32 [lengths] each: 'lengths' (a), 'loss', 'gradient_difference' and
    'smoothness' along the gradient; the last three also with '_random' along a
    random direction, the same whenever a step is measured.
  """
  here = subject.at(run, step)
  rate = here.hyper.optimizer['learning_rate']
  lengths = rate * np.asarray(subject.step_lengths(run), np.float32)
  point = functools.partial(precise.gradient, here, state)
  gradient, _ = point(state.params)
  key = jax.random.fold_in(here.key, DIRECTION)
  random = random_direction(key, gradient)
  found = {'lengths': jnp.asarray(lengths)}
  for suffix, direction in (('', gradient), ('_random', random)):
    seen = along(point, state.params, gradient, direction, lengths)
    found |= {f'{name}{suffix}': value for name, value in seen.items()}
  return found


def along(
  point: Point,
  params: Params,
  gradient: Params,
  direction: Params,
  lengths: np.ndarray,
) -> dict[str, jax.Array]:
  """What is seen at `params - a * direction` for each length a, at least 0.

  Args:
    point: maps parameters to the gradient and the loss there.
    gradient: that at `params`.

  Returns:
    'loss', 'gradient_difference' and 'smoothness', [lengths]; a length of 0, or
    a direction of zeros, has smoothness 0.
  """
  rows = []
  for length in lengths:
    moved = _moved(params, direction, length)
    there, loss = point(moved)
    rows.append((loss, *_change(gradient, there, direction, length)))
  names = 'loss', 'gradient_difference', 'smoothness'
  columns = map(jnp.stack, zip(*rows, strict=True))
  return dict(zip(names, columns, strict=True))


@jax.jit
def _moved(params: Params, direction: Params, length: jax.Array) -> Params:
  return jax.tree.map(lambda p, d: p - length * d, params, direction)


@jax.jit
def _change(
  here: Params, there: Params, direction: Params, length: jax.Array
) -> tuple[jax.Array, jax.Array]:
  difference = precise.norm(jax.tree.map(jnp.subtract, here, there))
  distance = length * precise.norm(direction)
  smoothness = difference / jnp.where(distance > 0, distance, 1)
  return difference, jnp.where(distance > 0, smoothness, 0)


@jax.jit
def random_direction(key: jax.Array, like: Params) -> Params:
  """A direction that is uniform over the sphere, with the norm of `like`."""
  leaves, structure = jax.tree.flatten(like)
  keys = jax.random.split(key, len(leaves))
  drawn = jax.tree.unflatten(
    structure,
    [
      jax.random.normal(k, x.shape, x.dtype)
      for k, x in zip(keys, leaves, strict=True)
    ],
  )
  factor = precise.norm(like) / precise.norm(drawn)
  return jax.tree.map(lambda x: factor * x, drawn)
