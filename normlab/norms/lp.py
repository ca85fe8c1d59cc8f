"""Batch normalization by an l_p norm (arXiv:1803.01814, arXiv:1805.11604)."""

import dataclasses
import math
import numbers
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from normlab.norms.batch import squeezed
from normlab.norms.core.pooling import Moments
from normlab.norms.core.running import Averaging, mean_start

CONVENTIONS = ('gaussian', 'literal')


class LpBatchNorm(Averaging):
  """y = (x - E[x]) / sqrt(deviation^2 + epsilon) * scale + bias, E over batch.

  The deviation is an l_p norm average, by one of two conventions:

  - 'gaussian' (Hoffer et al. 2018): C_p * E[|x - E[x]|^p]^(1/p), where C_p
    makes it the standard deviation on Gaussian values; p = 2 is `BatchNorm`,
    exactly.
    For p = inf it is C(n) * max|x - E[x]| with the paper's C(n) for n values,
    which is 1.4 deviations of a Gaussian and not one: see `gaussian_factor`.
  - 'literal' (Santurkar et al. 2018, section 3.3): E[|x|^p]^(1/p), or max|x|,
    "before shifting the mean": of the values as they are, without a factor. It
    does not give unit deviation where the mean is not zero.

  Positional fields are those of `BatchNorm`. State, in `batch_stats`: `mean`
  and `deviation`, float32; the deviation holds its factor (C_p, C(n)) and not
  epsilon, so that inference does not depend on the batch size.

  Derivatives where there is none: that of |x| is 0 at 0, and that of the
  maximum is shared equally among its ties.

  Attributes:
    p: at least 1; infinity is `float('inf')` or, for JSON, 'inf'.
    convention: 'gaussian' or 'literal'.
  """

  epsilon: float = 1e-5
  p: float | Literal['inf'] = dataclasses.field(default=1, kw_only=True)
  convention: str = dataclasses.field(default='gaussian', kw_only=True)

  def forward(
    self, x: jax.Array, mask: jax.Array | None, use_running_average: bool
  ) -> jax.Array:
    """The formula of the class, for checked input."""
    p = self.exponent()
    features, reduced = self.feature_and_reduction_axes(x)
    running = self.running_statistics(
      [x.shape[axis] for axis in features],
      mean=mean_start(x),
      deviation=jnp.ones,
    )
    if use_running_average:
      mean, deviation = self.stored(running, reduced)
      statistics = Moments(mean, lax.square(deviation), 1.0)
    else:
      statistics = self.lp_moments(x, reduced, mask, p)
      batch = squeezed(statistics, reduced)
      deviation = power(batch.var, 0.5)
      self.update(running, batch.count, mean=batch.mean, deviation=deviation)
    return self.normalize(x, statistics, features)

  def exponent(self) -> float:
    """The field p as a number.

    Raises:
      ValueError: p is not a number of at least 1, or an unknown convention.
    """
    if self.convention not in CONVENTIONS:
      raise ValueError(
        f'LpBatchNorm: convention={self.convention!r} must be one of '
        f'{", ".join(map(repr, CONVENTIONS))}'
      )
    p = math.inf if self.p == 'inf' else self.p
    if not (isinstance(p, numbers.Real) and p >= 1):
      raise ValueError(
        f"LpBatchNorm: p={self.p!r} must be a number of at least 1, or 'inf'"
      )
    return p

  def lp_moments(
    self, x: jax.Array, axes: Sequence[int], mask: jax.Array | None, p: float
  ) -> Moments:
    """Mean, squared deviation and count, over `axes` and the devices."""
    statistics = self.moments(x, axes, mask)
    mean, _, count = statistics
    centred = self.convention == 'gaussian'
    if centred and p == 2:
      return statistics
    values = x.astype(self.statistics_dtype(x))
    magnitude = jnp.abs(values - mean if centred else values)
    if mask is not None:
      magnitude = jnp.where(mask, magnitude, 0)
    square = self.squared_norm(magnitude, axes, count, p)
    if centred:
      square = square * gaussian_factor(p, count) ** 2
    if isinstance(count, jax.Array):
      square = jnp.where(count > 0, square, 1)
    return Moments(mean, square, count)

  def squared_norm(
    self,
    magnitude: jax.Array,
    axes: Sequence[int],
    count: jax.Array | float,
    p: float,
  ) -> jax.Array:
    """E[magnitude^p]^(2/p), over `axes` and the devices.

    Beyond p = 2 in units of the largest value, or powers would overflow. That
    unit is a constant for the gradient: the formula holds for any.
    """
    if p == math.inf:
      return lax.square(self.largest(magnitude, axes))
    unit = 1.0
    if p > 2:
      unit = self.largest(lax.stop_gradient(magnitude), axes)
      unit = jnp.where(unit > 0, unit, 1)
    total = power(magnitude / unit, p).sum(axes, keepdims=True)
    mean_power = self.joined(lax.psum, total) / jnp.maximum(count, 1)
    return power(mean_power, 2 / p) * unit**2

  def largest(self, magnitude: jax.Array, axes: Sequence[int]) -> jax.Array:
    """max(magnitude) over `axes` and the devices; ties share the gradient."""
    local = magnitude.max(axes, keepdims=True)
    # JAX cannot differentiate pmax; it can the mean of what equals it.
    joint = self.joined(lax.pmax, lax.stop_gradient(local))
    if joint is local:
      return local
    is_largest = (local == joint).astype(local.dtype)
    ties = self.joined(lax.psum, is_largest)
    return self.joined(lax.psum, is_largest * local) / ties

  def joined(self, collective, value: jax.Array) -> jax.Array:
    """`collective` of the value over the devices, where `axis_name` is set."""
    if self.axis_name is None or self.is_initializing():
      return value
    return collective(
      value, self.axis_name, axis_index_groups=self.axis_index_groups
    )


def gaussian_factor(p: float, count: jax.Array | float) -> jax.Array | float:
  """C such that C * (l_p norm average) is the deviation of Gaussian values.

  C_p = (sqrt(pi) / (2^(p/2) Gamma((p + 1) / 2)))^(1/p), sqrt(pi / 2) for p = 1.
  For p = inf, by arXiv:1803.01814, C(n) = (1 + sqrt(pi ln 4)) / 2 /
  sqrt(2 ln n), the middle of two bounds: C(n) times the expected maximum is
  about 1.4 deviations, and does not fall to 1 as n grows. A single value counts
  as two: ln 1 is 0.
  """
  if p == math.inf:
    bounds = (1 + math.sqrt(math.pi * math.log(4))) / 2
    return bounds / jnp.sqrt(2 * jnp.log(jnp.maximum(count, 2)))
  # Gamma itself overflows from p = 341 on.
  log_moment = (
    p / 2 * math.log(2) + math.lgamma((p + 1) / 2) - math.log(math.pi) / 2
  )
  return math.exp(-log_moment / p)


def power(base: jax.Array, exponent: float) -> jax.Array:
  """base^exponent for base >= 0, with all derivatives 0 at base = 0."""
  if exponent == int(exponent):
    exponent = int(exponent)
  positive = base > 0
  return jnp.where(positive, jnp.where(positive, base, 1) ** exponent, 0)
