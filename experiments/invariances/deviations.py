"""The measurement: relative deviations from what an invariance predicts.

In float64, so that rounding and epsilon decide nothing.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd
from flax import linen as nn

from experiments.invariances.arms import (
  ARMS,
  CASES,
  CHANGES,
  CONVOLUTION,
  DENSE,
  EPSILON,
  EQUAL,
  FACTOR,
  INPUTS,
  LAYERS,
  LIMITS,
  QUANTITIES,
  SCALES,
  SIZE,
  UNITS,
  Limit,
  NormArm,
)
from experiments.invariances.theorem import excess
from normlab import norms


class NormedLayer(nn.Module):
  """A dense layer without bias, and a norm of its kernel or of its output.

  On data with space it is a convolution of 1 x 1. A larger one would only add
  its edges, where padding with zeros does not move with the data.

  Attributes:
    hooks: of `norms.build`.
  """

  hooks: norms.Hooks

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """The output in training, for [cases, ..., inputs]."""
    zeros = nn.initializers.zeros
    layer = nn.Dense(UNITS, use_bias=False, kernel_init=zeros, name='layer')
    if self.hooks.kernel_norm is None:
      y = layer(x)
    else:
      kernel_norm = self.hooks.kernel_norm(layer, name='kernel_norm')
      y = kernel_norm(x, update_stats=False)
    if self.hooks.norm is None:
      return y
    return self.hooks.norm(name='norm')(y, use_running_average=False)


class Draw(NamedTuple):
  """Normal numbers, one draw for each seed.

  Attributes:
    weights: [seeds, inputs, units], of about unit length in each unit.
    data: [seeds, cases, ..., inputs]; mean 1/2, so that statistics with and
      without centring differ.
    cotangent: the gradient for the output, in its shape.
    weight_shift: [seeds, inputs, 1], the same for all units.
    data_shift: [seeds, 1, ..., inputs], the same for all cases and positions.
  """

  weights: np.ndarray
  data: np.ndarray
  cotangent: np.ndarray
  weight_shift: np.ndarray
  data_shift: np.ndarray


class Change(NamedTuple):
  """weights * weight_factor + weight_shift, and the same of the data.

  All broadcast to the arrays of a `Draw`.
  """

  weight_factor: np.ndarray | float = 1.0
  weight_shift: np.ndarray | float = 0.0
  data_factor: np.ndarray | float = 1.0
  data_shift: np.ndarray | float = 0.0


def build(arm: NormArm) -> NormedLayer:
  """The layer of an arm, with `EPSILON` where its norm has one."""
  known = norms.fields_of(arm.name)
  epsilon = {'epsilon': EPSILON} if 'epsilon' in known else {}
  return NormedLayer(norms.build(name=arm.name, **epsilon, **arm.fields))


def draw(kind: str, seeds: Iterable[int], cases: int = CASES) -> Draw:
  """Weights, data and shifts for a kind of layer, in float64."""
  space = (SIZE, SIZE) if kind == CONVOLUTION else ()

  def of_seed(seed: int) -> Draw:
    normal = np.random.default_rng(seed).normal
    return Draw(
      weights=normal(size=(INPUTS, UNITS)) / INPUTS**0.5,
      data=normal(0.5, size=(cases, *space, INPUTS)),
      cotangent=normal(size=(cases, *space, UNITS)),
      weight_shift=normal(size=(INPUTS, 1)) / INPUTS**0.5,
      data_shift=normal(size=INPUTS),
    )

  drawn = Draw(*map(np.stack, zip(*map(of_seed, seeds), strict=True)))
  each = (len(drawn.data), *(1,) * (len(space) + 1), INPUTS)
  return drawn._replace(data_shift=drawn.data_shift.reshape(each))


def changes(drawn: Draw) -> dict[str, Change]:
  """The changes of the papers' table, in the order of `CHANGES`."""
  unit = np.where(np.arange(UNITS) == 1, FACTOR, 1.0)
  rank, cases = drawn.data.ndim, drawn.data.shape[1]
  case = np.where(np.arange(cases) == 2, FACTOR, 1.0)
  found = (
    Change(weight_factor=FACTOR),
    Change(weight_shift=drawn.weight_shift),
    Change(weight_factor=unit),
    Change(data_factor=FACTOR),
    Change(data_shift=drawn.data_shift),
    Change(data_factor=case.reshape(1, cases, *(1,) * (rank - 2))),
  )
  return dict(zip(CHANGES, found, strict=True))


# Each program runs seven times, so that compiling it is what takes time.
@functools.partial(
  jax.jit,
  static_argnums=0,
  compiler_options={'xla_backend_optimization_level': 0},
)
def responses(
  layer: NormedLayer, weights: jax.Array, data: jax.Array, cotangent: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Output, and gradients of sum(output * cotangent): `QUANTITIES`, by seed.

  The arguments are those of a `Draw`.
  """
  # One start of the power iteration, and one noise, for all; by a generator
  # that compiles faster than the default one.
  key = jax.random.key(0, impl='unsafe_rbg')
  variables = layer.init(key, data[0])

  def output(w: jax.Array, x: jax.Array) -> jax.Array:
    params = {**variables['params'], 'layer': {'kernel': w}}
    y, _ = layer.apply(
      {**variables, 'params': params},
      x,
      mutable=['batch_stats'],
      rngs={'noise': key},
    )
    return y

  def respond(
    w: jax.Array, x: jax.Array, c: jax.Array
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    y, pull_back = jax.vjp(output, w, x)
    return y, *pull_back(c)

  return jax.vmap(respond)(weights, data, cotangent)


def compared(actual: Sequence, predicted: Sequence) -> Iterable[dict]:
  """Largest differences, relative to the largest entry that is predicted.

  Args:
    actual: arrays [seeds, ...], as `QUANTITIES`.
    predicted: the same.

  Yields:
    'quantity', 'number' of the seed, 'deviation'.
  """
  for quantity, a, b in zip(QUANTITIES, actual, predicted, strict=True):
    axes = tuple(range(1, b.ndim))
    largest = np.abs(a - b).max(axes) / np.abs(b).max(axes)
    for number, value in enumerate(largest):
      yield {'quantity': quantity, 'number': number, 'deviation': float(value)}


def invariances(
  layer: NormedLayer, kind: str, seeds: Sequence[int]
) -> Iterable[dict]:
  """How far a layer is from not seeing each change.

  If f(a w + b) = f(w) for all w, then the gradient at a w + b is 1/a of that
  at w: this is the prediction for both gradients.

  Yields:
    Those of `compared`, with 'change'.
  """
  drawn = draw(kind, seeds)
  before = responses(layer, drawn.weights, drawn.data, drawn.cotangent)
  y, of_weights, of_data = map(np.asarray, before)
  for name, change in changes(drawn).items():
    after = responses(
      layer,
      drawn.weights * change.weight_factor + change.weight_shift,
      drawn.data * change.data_factor + change.data_shift,
      drawn.cotangent,
    )
    predicted = (
      y,
      of_weights / change.weight_factor,
      of_data / change.data_factor,
    )
    for row in compared(after, predicted):
      yield {'change': name, **row}


def limit(case: Limit, seeds: Sequence[int]) -> Iterable[dict]:
  """How far two norms are from the same; the rows of `compared`."""
  drawn = draw(CONVOLUTION, seeds, case.cases)
  first, second = (
    responses(build(arm), drawn.weights, drawn.data, drawn.cotangent)
    for arm in (case.first, case.second)
  )
  return compared(first, map(np.asarray, second))


def compute(scale: str) -> pd.DataFrame:
  """One row a deviation: 'arm', 'seed', 'layer', 'change', 'quantity'."""
  seeds, rows = SCALES[scale].seeds, []
  with jax.enable_x64(True):
    for name, arm in ARMS.items():
      for kind in LAYERS:
        labels = {'arm': name, 'layer': kind}
        if arm.is_measured(kind):
          found = invariances(build(arm), kind, seeds)
          rows += [labels | row for row in found]
    for name, case in LIMITS.items():
      labels = {'arm': name, 'layer': CONVOLUTION, 'change': EQUAL}
      rows += [labels | row for row in limit(case, seeds)]
    for number, seed in enumerate(seeds):
      for name, value in excess(seed).items():
        labels = {'arm': name, 'layer': DENSE, 'change': EQUAL}
        labels |= {'quantity': QUANTITIES[2], 'number': number}
        rows.append(labels | {'deviation': value})
  table = pd.DataFrame(rows)
  table['seed'] = [seeds[number] for number in table.pop('number')]
  # Rounding errors need no more digits.
  table['deviation'] = [float(f'{x:.3g}') for x in table['deviation']]
  return table
