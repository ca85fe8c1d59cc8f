"""Fusion: how to combine large and small arrays in few passes over x.

A norm reads its input a few times and writes one result; its cost is the number
of passes over memory. The compiler decides which operations share a pass. These
functions change no value: each removes a reason for which XLA would make one
more pass, or recompute a small array for every value of x (seen on the CPU with
jax 0.10.2; `scripts/benchmark.py norms` measures it).
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec, reshard


def apart(*arrays: jax.Array) -> tuple[jax.Array, ...]:
  """The same arrays, as if they were others: the compiler cannot merge them.

  XLA computes a difference like x - mean, or a cast of x, once where several
  reductions need it, and then must write it out in full. Each reduction that
  takes its own, from a call of `apart` with a combination of arrays of its own,
  computes it on the fly.
  """
  if len(arrays) < 2:
    return tuple(map(lax.optimization_barrier, arrays))
  return _barrier(*arrays)


@jax.custom_jvp
def _barrier(*arrays: jax.Array) -> tuple[jax.Array, ...]:
  return lax.optimization_barrier(arrays)


@_barrier.defjvp
def _barrier_jvp(primals: Any, tangents: Any) -> Any:
  # One each: JAX (0.12.0) cannot transpose a barrier around several arrays of
  # which one is constant, as a tangent of zeros can be.
  return _barrier(*primals), tuple(map(lax.optimization_barrier, tangents))


def apart_in_transpose(*terms: jax.Array) -> list[jax.Array]:
  """The same terms, whose cotangents are `apart`: a linear map of each.

  One barrier each, for the reason in `_barrier_jvp`. XLA would merge those of
  one cotangent, if their shapes were not different.
  """
  separate = []
  for number, term in enumerate(terms):
    added = tuple(range(number))
    one = lax.optimization_barrier(lax.expand_dims(term, added))
    separate.append(lax.squeeze(one, added))
  return separate


def once(small: jax.Array) -> jax.Array:
  """`small`, to be computed before the pass over a large array, not inside.

  XLA would repeat cheap arithmetic on a small array for every element of the
  large one, or run both in one slow loop; it does neither across a division and
  a selection that it can neither fold nor move. Linear, and its own transpose.
  """
  one = lax.optimization_barrier(jnp.ones(small.shape, small.real.dtype))
  return jnp.where(one > 0, small / one, 0)


def total(x: jax.Array, axes: Sequence[int]) -> jax.Array:
  """Sum over `axes`, which keep size one: the last of them first.

  In two steps because XLA's reduction of leading axes, with others before them,
  runs on one core; and less rounding accumulates.
  """
  *others, last = axes
  if others:
    (x,) = apart(x.sum(last, keepdims=True))
    last = tuple(others)
  return x.sum(last, keepdims=True)


def spread(small: jax.Array, like: jax.Array) -> jax.Array:
  """`small`, broadcast against `like` but for its last step: dual of `total`.

  Its transpose, in the backward pass, is the sum in two steps.
  """
  axes = [
    axis
    for axis, size in enumerate(like.shape)
    if small.shape[axis] == 1 and size != 1
  ]
  if len(axes) < 2:
    return small
  middle = [
    1 if axis == axes[-1] else size for axis, size in enumerate(like.shape)
  ]
  return apart(broadcast(small, middle, like))[0]


def broadcast(
  small: jax.Array, shape: Sequence[int], like: jax.Array
) -> jax.Array:
  """`small` in this shape, divided among devices as `like` is.

  Where the axes of a mesh are explicit, a plain broadcast is on every device
  whole, and so then is its cotangent.
  """
  sharding = jax.typeof(like).sharding
  spec = [
    axes if size == full else None
    for axes, size, full in zip(sharding.spec, shape, like.shape, strict=True)
  ]
  if not any(spec):
    return jnp.broadcast_to(small, shape)
  out_sharding = NamedSharding(sharding.mesh, PartitionSpec(*spec))
  return jnp.broadcast_to(small, shape, out_sharding=out_sharding)


def sliced(x: jax.Array, slices: int) -> jax.Array:
  """[batch, ...] as [slices, batch / slices, ...]."""
  sharding = jax.typeof(x).sharding
  if slices % batch_shards(x):
    spec = PartitionSpec(None, *sharding.spec[1:])
    x = reshard(x, NamedSharding(sharding.mesh, spec))
  return x.reshape(slices, -1, *x.shape[1:])


def joined(slices: jax.Array, like: jax.Array) -> jax.Array:
  """Undoes `sliced`: the shape of `like`, divided among devices as it is."""
  y = slices.reshape(like.shape)
  sharding = jax.typeof(like).sharding
  return reshard(y, sharding) if any(sharding.spec) else y


def batch_shards(x: jax.Array) -> int:
  """Among how many devices a mesh with explicit axes divides the first axis.

  Inside `jax.shard_map` none of its axes is explicit: what a device sees is
  whole.
  """
  sharding = jax.typeof(x).sharding
  axes = sharding.spec[0] or ()
  axes = axes if isinstance(axes, tuple) else (axes,)
  return math.prod(sharding.mesh.shape[axis] for axis in axes)


def traced(x: Any) -> jax.Array:
  """`x` as an array of the program that is traced, if one is.

  A NumPy array that `jit` closes over and `vmap` maps is none, and JAX (0.10.2)
  then rejects it as an argument of a function with a derivative of its own.
  """
  inner = x
  while isinstance(inner, Tracer):
    inner = getattr(inner, 'val', getattr(inner, 'primal', None))
  # Else not a copy: the backward pass would keep it beside x.
  return jnp.array(x) if isinstance(inner, np.ndarray) else jnp.asarray(x)


def size_together(*arrays: jax.Array) -> int:
  """How many values the arrays have, broadcast against each other."""
  return math.prod(jnp.broadcast_shapes(*(array.shape for array in arrays)))
