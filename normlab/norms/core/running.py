"""Running averages of batch statistics: fields, state and update."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from normlab.norms.core import axis_fields, fields
from normlab.norms.core.fusion import broadcast

Start = Callable[[Sequence[int], Any], jax.Array]


class BatchFields(nn.Module):
  """Fields of the norms that share statistics across the batch.

  Attributes:
    use_running_average: normalizes with the running statistics (inference)
      instead of the batch's; given here or in the call, not in both.
    axis: the feature axis or axes; all others are reduced.
    momentum: share of the old value that a running statistic keeps at an
      update; None averages all updates alike.
    debias: makes the running statistics those of the batches alone, with the
      same relative weights, and no share of the start values (0 and 1), which
      keep 0.99^100 = 37% of the weight after 100 updates of the default
      momentum. The first update then takes the batch's statistics as they are.
    frozen: normalizes with the running statistics in training too, and leaves
      them as they are; scale and bias are still trained.
  """

  use_running_average: bool | None = None
  axis: axis_fields.Axes = -1
  momentum: float | None = 0.99
  debias: bool = dataclasses.field(default=False, kw_only=True)
  frozen: bool = dataclasses.field(default=False, kw_only=True)

  def feature_and_reduction_axes(
    self, x: jax.Array
  ) -> tuple[list[int], list[int]]:
    """The axes of `x` that have statistics of their own, and all others."""
    features = axis_fields.canonical_axes(self, 'axis', x.ndim)
    return features, [a for a in range(x.ndim) if a not in features]

  def uses_running_average(self, argument: bool | None) -> bool:
    """The call's `use_running_average` or the constructor's; True if frozen.

    Raises:
      ValueError: given in neither or both, or a momentum outside [0, 1].
    """
    self.check_momentum()
    name = type(self).__name__
    if (argument is None) == (self.use_running_average is None):
      where = 'neither' if argument is None else 'both'
      raise ValueError(
        f'{name}: use_running_average is given in {where} of constructor '
        f'(use_running_average={self.use_running_average!r}) and call '
        f'(use_running_average={argument!r}); give it in one: False to train, '
        'True for inference'
      )
    asked = self.use_running_average if argument is None else argument
    return asked or self.frozen

  def check_momentum(self) -> None:
    """Raises ValueError for a momentum outside [0, 1]."""
    momentum = self.momentum
    if momentum is None or fields.is_traced(momentum) or 0 <= momentum <= 1:
      return
    raise ValueError(
      f'{type(self).__name__}: momentum={momentum!r} must lie between 0 and 1, '
      'or be None for the average of all updates'
    )

  def running_statistics(
    self, shape: Sequence[int], dtype: Any = jnp.float32, **starts: Start
  ) -> dict[str, nn.Variable]:
    """The layer's state in `batch_stats`: one variable per initializer's name.

    Where `momentum` or `debias` need it, also `updates`, int32: how many
    updates each entry has seen.
    """
    state = {
      name: self.variable('batch_stats', name, start, shape, dtype)
      for name, start in starts.items()
    }
    if self.momentum is None or self.debias:
      state['updates'] = self.variable(
        'batch_stats', 'updates', jnp.zeros, shape, jnp.int32
      )
    return state

  def update(
    self,
    running: dict[str, nn.Variable],
    count: jax.Array | float,
    **batch: jax.Array,
  ) -> None:
    """Moves running statistics towards those of a batch.

    Does nothing while initializing, nor for entries whose count of values in
    the batch, a number or an array of their shape, is 0.
    """
    if self.is_initializing():
      return
    momentum = self.momentum
    if momentum is None or self.debias:
      updates = running['updates']
      momentum = share_kept(momentum, updates.value)
      updates.value += jnp.asarray(count > 0, jnp.int32)
    for name, value in batch.items():
      running[name].value = running_average(
        running[name].value, value, momentum, count
      )

  def stored(
    self, running: dict[str, nn.Variable], reduced: Sequence[int]
  ) -> list[jax.Array]:
    """The running statistics, shaped to broadcast against the input."""
    return [
      jnp.expand_dims(variable.value, reduced)
      for name, variable in running.items()
      if name != 'updates'
    ]


class Averaging(fields.Statistics, fields.Affine, BatchFields):
  """A norm with statistics of the batch, and running ones.

  The subclass has `forward`.
  """

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    use_running_average: bool | None = None,
    *,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Normalizes with the statistics of the batch, or with the running ones.

    Args:
      x: [batch, ..., features], or features along `axis`.
      use_running_average: True for inference.
      mask: boolean, broadcastable to `x`; False values do not count.

    Returns:
      The shape of `x`.

    Raises:
      ValueError: a bad field, mask or shape; names it and what is allowed.
      TypeError: integer input, or complex where numbers are ordered.
    """
    inference = self.uses_running_average(use_running_average)
    return self.forward(*self.prepare(x, mask), inference)

  def forward(
    self, x: jax.Array, mask: jax.Array | None, use_running_average: bool
  ) -> jax.Array:
    """The result for checked input, and a decided mode."""
    raise NotImplementedError


def mean_start(x: jax.Array) -> Start:
  """Zeros to start a running mean with: complex where the input is."""

  def start(shape: Sequence[int], dtype: Any) -> jax.Array:
    is_complex = jnp.iscomplexobj(x)
    return jnp.zeros(
      shape, jnp.promote_types(dtype, x.dtype) if is_complex else dtype
    )

  return start


def share_kept(momentum: float | None, updates: jax.Array) -> jax.Array:
  """The share of the old value that leaves no weight to the start value.

  After t updates the weights of the batches are momentum^(t-1), ..., 1, over
  their sum S_t = 1 + momentum + ... + momentum^(t-1): the average of t + 1
  keeps momentum S_t / S_(t+1) of that of t. As in Adam's bias correction
  (Kingma & Ba 2015), but of the average itself, so that inference need not
  know. With momentum None, the limit 1, that is t / (t + 1).
  """
  equal = updates / (updates + 1)
  if momentum is None:
    return equal
  if not fields.is_traced(momentum):
    return equal if momentum == 1 else decaying_share(momentum, updates)
  return jnp.where(momentum == 1, equal, decaying_share(momentum, updates))


def decaying_share(
  momentum: float | jax.Array, updates: jax.Array
) -> jax.Array:
  """momentum S_t / S_(t+1), where momentum is not 1."""
  power = jnp.asarray(momentum, jnp.float32) ** updates
  return momentum * (1 - power) / (1 - momentum * power)


def running_average(
  running: jax.Array,
  batch: jax.Array,
  momentum: float | jax.Array,
  count: jax.Array | float,
) -> jax.Array:
  """momentum * running + (1 - momentum) * batch; unchanged where count is 0."""
  updated = momentum * running + (1 - momentum) * batch
  if not isinstance(count, jax.Array):
    return updated.astype(running.dtype)
  # If devices share features, they share the batch's statistics too.
  unchanged = broadcast(running, updated.shape, updated)
  return jnp.where(count > 0, updated, unchanged).astype(running.dtype)
