"""Running statistics of trained norms, read and replaced in inference.

Every layer's statistics are read as a mean and a variance, and can be replaced
while a model runs.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from normlab import registry
from normlab.norms.batch import BatchNorm, squeezed
from normlab.norms.core import axis_fields, calls
from normlab.norms.core.pooling import Moments, pool_devices
from normlab.norms.core.running import BatchFields
from normlab.norms.lp import LpBatchNorm

State = dict[str, Any]
# The state to normalize with, of the layer, its state, and the statistics of
# the batch.
Choice = Callable[[nn.Module, State, Moments], State]


def read(layer: nn.Module, state: State) -> tuple[Any, Any]:
  """The mean and variance of a norm's `batch_stats`, of JAX or NumPy.

  0 and 1 where there is none; of an `LpBatchNorm` the squared deviation.
  """
  if 'std' in state:
    var = state['std'] ** 2 - layer.epsilon
  elif 'deviation' in state:
    var = state['deviation'] ** 2
  else:
    var = state.get('var', 1.0)
  return state.get('mean', 0.0), var


def written(layer: nn.Module, state: State, statistics: Moments) -> State:
  """The state with this mean and variance, in its own names and dtypes.

  Everything else in it stays, as do entries whose count is 0.
  """
  mean, var, count = statistics
  new = {
    'mean': mean,
    'var': var,
    'std': jnp.sqrt(var + layer.epsilon),
    'deviation': jnp.sqrt(var),
  }
  return {
    name: jnp.where(count > 0, new[name], value).astype(value.dtype)
    if name in new
    else value
    for name, value in state.items()
  }


@contextlib.contextmanager
def chosen_statistics(choose: Choice) -> Iterator[None]:
  """Norms called in here normalize as in inference, with a state of choice.

  However they are called, for training or inference. These are the norms with
  a state in `batch_stats` that are built on `BatchFields`, and
  `flax.linen.BatchNorm`; those with `frozen` statistics keep them.
  """
  inside = []

  def choosing(
    layer: nn.Module, call: Callable[..., Any], *args: Any, **kwargs: Any
  ) -> Any:
    # `normalized` calls a copy of the layer, which comes here as well.
    if inside or not is_moving(layer):
      return call(*args, **kwargs)
    inside.append(layer)
    try:
      return normalized(layer, choose, *args, **kwargs)
    finally:
      inside.pop()

  with calls.replaced(choosing):
    yield


def is_moving(layer: nn.Module) -> bool:
  """Whether this is a norm whose running statistics may move."""
  return (
    isinstance(layer, BatchFields | nn.BatchNorm)
    and not getattr(layer, 'frozen', False)
    and bool(layer.variables.get('batch_stats'))
  )


def normalized(
  layer: nn.Module,
  choose: Choice,
  x: jax.Array,
  use_running_average: bool | None = None,
  *,
  mask: jax.Array | None = None,
) -> Any:
  """The layer's result in inference with the state that `choose` returns."""
  del use_running_average
  assert layer.scope is not None  # It is bound.
  state = choose(
    layer,
    dict(layer.variables['batch_stats']),
    batch_statistics(layer, x, mask),
  )
  return layer.clone(parent=None, use_running_average=True).apply(
    {**layer.variables, 'batch_stats': state},
    x,
    mask=mask,
    rngs={name: layer.make_rng(name) for name in layer.scope.rngs},
  )


def batch_statistics(
  layer: nn.Module, x: jax.Array, mask: jax.Array | None
) -> Moments:
  """Statistics of a batch in the shape of the layer's state, counts included.

  Always of the whole batch (no ghost batches), with the biased variance; over
  devices where `axis_name` is mapped.
  """
  axis_name, groups = layer.axis_name, layer.axis_index_groups
  if isinstance(layer, nn.BatchNorm):
    layer = BatchNorm(axis=layer.axis, parent=None)
  else:
    layer = layer.clone(parent=None, axis_name=None)
  x, mask = layer.prepare(x, mask)
  features = axis_fields.canonical_axes(layer, 'axis', x.ndim)
  reduced = [axis for axis in range(x.ndim) if axis not in features]
  if isinstance(layer, LpBatchNorm):
    part = layer.lp_moments(x, reduced, mask, layer.exponent())
  else:
    part = layer.moments(x, reduced, mask)
  if is_mapped(axis_name):
    part = pool_devices(part, axis_name, groups)
  mean, var, count = squeezed(part, reduced)
  return Moments(mean, var, jnp.broadcast_to(count, var.shape))


def is_mapped(axis_name: str | None) -> bool:
  """Whether we are in a `jax.shard_map`, `pmap` or `vmap` over this axis.

  A trained model is also used outside: inference needs no other devices.
  """
  if axis_name is None:
    return False
  try:
    lax.axis_index(axis_name)
  except NameError:
    return False
  return True


def call_arguments(model: nn.Module, kwargs: dict[str, Any]) -> dict[str, Any]:
  """`kwargs`, and train=False if the model's call takes it and they do not."""
  if 'train' in registry.arguments(type(model).__call__):
    return {'train': False, **kwargs}
  return kwargs
