"""Noise on a layer's distributions (Santurkar et al. 2018, arXiv:1805.11604).

`NoisyBatchNorm` is the experiment of section 2.1. `DistributionalNoise` is its
control: the same noise, and no norm.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from normlab.norms.batch import BatchNorm
from normlab.norms.core import axis_fields, fields


class NoiseFields(nn.Module):
  """The noise of Algorithm 1 of the paper, and its symbols.

  At each call, for each channel, mean ~ U(-mean_range, mean_range) and
  std ~ U(1, max_std); then for each value x of that channel, of every example
  and position, y = s * x + m with s ~ N(std, std_jitter) and
  m ~ U(mean - mean_jitter, mean + mean_jitter).

  It draws from the random stream 'noise': pass `rngs={'noise': key}` to
  `apply`, another key each step; devices that share a batch, the same key.
  Inference has no noise, so that it is repeatable; but s is
  1 + (max_std - 1) / 2 on average, so the layers behind see other statistics
  than they were trained on.

  Attributes:
    mean_range: n_mu, at least 0.
    max_std: n_sigma, at least 1.
    mean_jitter: r_mu, at least 0.
    std_jitter: r_sigma, at least 0; a standard deviation (the paper does not
      say whether it is that or a variance).
  """

  mean_range: float = dataclasses.field(default=0.5, kw_only=True)
  max_std: float = dataclasses.field(default=1.25, kw_only=True)
  mean_jitter: float = dataclasses.field(default=0.1, kw_only=True)
  std_jitter: float = dataclasses.field(default=0.1, kw_only=True)

  def check_noise(self) -> None:
    """Raises ValueError where a field of the noise makes no sense."""
    lowest = {'mean_range': 0, 'max_std': 1, 'mean_jitter': 0, 'std_jitter': 0}
    for field, low in lowest.items():
      value = getattr(self, field)
      if not fields.is_traced(value) and not low <= value < float('inf'):
        raise ValueError(
          f'{type(self).__name__}: {field}={value!r} must be finite and at '
          f'least {low}'
        )

  def add_noise(self, x: jax.Array, features: Sequence[int]) -> jax.Array:
    """s * x + m, drawn and computed in float32 at least, in the dtype of `x`.

    None while initializing, which then needs no key; else a missing key is a
    ValueError. The features are axes that have a mean and std of their own.
    """
    if self.is_initializing():
      return x
    if not self.has_rng('noise'):
      raise ValueError(
        f"{type(self).__name__}: no key for the stream 'noise'; pass "
        "rngs={'noise': key} to apply, another key each step"
      )
    shape = [x.shape[a] if a in features else 1 for a in range(x.ndim)]
    channel_key, key = jax.random.split(self.make_rng('noise'))
    m_key, s_key = jax.random.split(self.device_key(key))
    u_mean, u_std = jax.random.uniform(channel_key, (2, *shape), jnp.float32)
    u_m = jax.random.uniform(m_key, x.shape, jnp.float32)
    z_s = jax.random.normal(s_key, x.shape, jnp.float32)
    m = self.mean_range * (2 * u_mean - 1) + self.mean_jitter * (2 * u_m - 1)
    s = 1 + (self.max_std - 1) * u_std + self.std_jitter * z_s
    return saturated(s * x + m, x)

  def device_key(self, key: jax.Array) -> jax.Array:
    """This device's key: devices share channels, but not examples.

    Raises:
      ValueError: an `axis_name` that is not mapped.
    """
    if self.axis_name is None:
      return key
    try:
      return jax.random.fold_in(key, lax.axis_index(self.axis_name))
    except NameError as error:
      raise ValueError(
        f'{type(self).__name__}: axis_name={self.axis_name!r} must be an axis '
        'of a surrounding jax.shard_map, jax.pmap or jax.vmap, or None'
      ) from error


class DistributionalNoise(NoiseFields, fields.CheckedInput):
  """y = s * x + m: the noise alone, with nothing normalized.

  Called like a norm, to be a model's norm. No parameters, no state.

  Attributes:
    axis: the feature axis or axes.
    axis_name: of the devices that share a batch, which must be given the same
      key; None: no such devices.
  """

  axis: axis_fields.Axes = dataclasses.field(default=-1, kw_only=True)
  axis_name: str | None = dataclasses.field(default=None, kw_only=True)

  replaces_bias: ClassVar[bool] = False
  replaces_activation: ClassVar[bool] = False

  def __call__(
    self,
    x: jax.Array,
    use_running_average: bool | None = None,
    *,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Adds noise in training; the arguments are those of `BatchNorm`.

    Where the mask is False, NaN and infinity count as 0.

    Returns:
      The shape and dtype of `x`.

    Raises:
      ValueError: a bad field, mask or shape; no `use_running_average`, no key.
      TypeError: integer input.
    """
    name = type(self).__name__
    if use_running_average is None:
      raise ValueError(
        f'{name}: use_running_average=None must be False to train or True for '
        'inference, which has no noise'
      )
    self.check_noise()
    x, _ = self.prepare(x, mask)
    if use_running_average:
      return x
    return self.add_noise(x, axis_fields.canonical_axes(self, 'axis', x.ndim))


class NoisyBatchNorm(NoiseFields, BatchNorm):
  """`BatchNorm`, scale and bias included, and then the noise of `NoiseFields`.

  Parameters and state are those of `BatchNorm`: a checkpoint of one loads into
  the other. The running statistics are of the input, which has no noise.
  """

  def __call__(
    self,
    x: jax.Array,
    use_running_average: bool | None = None,
    *,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Normalizes, then adds noise; without its key that is a ValueError.

    The arguments and other errors are those of `BatchNorm`.
    """
    self.check_noise()
    y = super().__call__(x, use_running_average, mask=mask)
    features, _ = self.feature_and_reduction_axes(y)
    # With `frozen` statistics training is training all the same.
    asked = use_running_average, self.use_running_average
    if any(asked):
      return y
    return self.add_noise(y, features)


def saturated(y: jax.Array, x: jax.Array) -> jax.Array:
  """`y` in the dtype of `x`; finite where x is, like 6e4 in float16."""
  if jnp.finfo(x.dtype).bits >= 32:
    return y.astype(x.dtype)
  largest = float(jnp.finfo(x.dtype).max)
  clipped = jnp.clip(y, -largest, largest)
  return jnp.where(jnp.isfinite(x), clipped, y).astype(x.dtype)
