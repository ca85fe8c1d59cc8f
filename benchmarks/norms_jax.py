"""Linen layers, ours and flax's: their passes, and what the backward keeps."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.extend import core

FORWARD, BOTH = 'forward', 'forward + backward'

Variables = Mapping[str, Any]
# (variables, x, key) -> (y, the new state)
Step = Callable[[Variables, jax.Array, jax.Array], tuple[jax.Array, Variables]]


class Data(NamedTuple):
  """The arrays that every candidate is given.

  Attributes:
    x: [batch, height, width, channels].
    cotangent: of the output; shape and dtype of `x`.
    key: for layers that draw noise.
  """

  x: jax.Array
  cotangent: jax.Array
  key: jax.Array


def random_data(shape: tuple[int, ...], dtype: str) -> Data:
  """Normal input, with mean 1/2, and a normal cotangent."""
  keys = jax.random.split(jax.random.key(0), 3)
  x, cotangent = (jax.random.normal(key, shape, dtype) for key in keys[:2])
  return Data(x + jnp.asarray(0.5, dtype), cotangent, keys[2])


def step_of(layer: nn.Module, **call: Any) -> Step:
  """A training call of a layer; `call` has its further arguments."""

  def step(variables: Variables, x: jax.Array, key: jax.Array):
    return layer.apply(
      variables, x, rngs={'noise': key}, mutable=['batch_stats'], **call
    )

  return step


def linearized(step: Step, variables: Variables, x: jax.Array, key: jax.Array):
  """The output, its vjp for the parameters and `x`, and the new state."""

  def output(params: Variables, x: jax.Array):
    return step({**variables, 'params': params}, x, key)

  return jax.vjp(output, variables.get('params', {}), x, has_aux=True)


def passes(
  step: Step, variables: Variables, data: Data
) -> dict[str, Callable[[], Any]]:
  """Both passes as compiled calls without arguments; nothing is donated.

  Returns:
    By pass: 'forward' gives (y, state), 'forward + backward' (y, state,
    (gradient of the parameters, gradient of `x`)).
  """

  def both(variables: Variables, data: Data):
    y, backward, state = linearized(step, variables, data.x, data.key)
    return y, state, backward(data.cotangent.astype(y.dtype))

  return {
    FORWARD: functools.partial(jax.jit(step), variables, data.x, data.key),
    BOTH: functools.partial(jax.jit(both), variables, data),
  }


def floor(data: Data) -> dict[str, Callable[[], Any]]:
  """One multiply-add with numbers per channel: x, or x and cotangent.

  No norm can read and write less. The arithmetic is in float32, as in norms.
  """
  channels = data.x.shape[-1]
  a, b = jnp.full(channels, 1.5), jnp.full(channels, 0.5)

  @jax.jit
  def multiply_add(a: jax.Array, b: jax.Array, *arrays: jax.Array):
    return [(array * a + b).astype(array.dtype) for array in arrays]

  return {
    FORWARD: functools.partial(multiply_add, a, b, data.x),
    BOTH: functools.partial(multiply_add, a, b, data.x, data.cotangent),
  }


def kept_bytes(
  step: Step, variables: Variables, x: jax.Array, key: jax.Array
) -> tuple[int, int]:
  """Bytes that the backward pass keeps besides the inputs of the forward.

  Counts each array in the closure that `jax.vjp` returns once, and no input.
  That stays in memory if the two passes are compiled apart; compiled as one,
  XLA may compute some of it again.

  Returns:
    Bytes of the arrays with as many values as `x` or more, and of all others.
  """

  def closure(params: Variables, x: jax.Array) -> list[jax.Array]:
    full = {**variables, 'params': params}
    return jax.tree.leaves(linearized(step, full, x, key)[1])

  # In the program's text an input that is kept is the input's own variable.
  traced = jax.make_jaxpr(closure)(variables.get('params', {}), x).jaxpr
  given = {*traced.invars, *traced.constvars}
  kept = {v for v in traced.outvars if isinstance(v, core.Var)}
  sizes = [(v.aval.size, v.aval.dtype.itemsize) for v in kept - given]
  big = sum(size * width for size, width in sizes if size >= x.size)
  return big, sum(size * width for size, width in sizes) - big
