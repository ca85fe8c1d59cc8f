"""Batch renormalization (Ioffe 2017, arXiv:1702.03275)."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from normlab.norms.batch import squeezed
from normlab.norms.core import fields
from normlab.norms.core.pooling import Moments
from normlab.norms.core.running import Averaging

Schedule = Callable[[jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Ramp:
  """`start` until step `begin`, `stop` from step `end` on, linear between."""

  start: float
  stop: float
  begin: int
  end: int

  def __call__(self, step: jax.Array) -> jax.Array:
    """The value at `step`."""
    progress = (step - self.begin) / (self.end - self.begin)
    return self.start + (self.stop - self.start) * jnp.clip(progress, 0, 1)


# Section 4.1 of the paper; that the ramp is linear is our reading of "gradually
# relaxed".
PAPER_R_MAX = Ramp(1.0, 3.0, 5_000, 40_000)
PAPER_D_MAX = Ramp(0.0, 5.0, 5_000, 25_000)


class BatchRenorm(Averaging):
  """y = ((x - mean_B) / std_B * r + d) * scale + bias (Algorithm 1).

  r = clip(std_B / std, 1/r_max, r_max) and d = clip((mean_B - mean) / std,
  -d_max, d_max) are constants for the gradient, std_B = sqrt(var_B + epsilon),
  and `mean`, `std` are the running ones before the update. Unclipped, training
  computes what inference does: (x - mean) / std.

  The fields are those of `BatchNorm`, and keyword-only ones. State, in
  `batch_stats`: `mean` and `std` (the running standard *deviation*, with
  epsilon already in it), float32, and `step`, int32.

  Attributes:
    r_max: at least 1: a number, or a function of the layer's own step counter;
      default: the paper's schedule, 1 until step 5,000, 3 from 40,000.
    d_max: at least 0, as `r_max`; default: 0 until step 5,000, 5 from 25,000.
    schedule_scale: stretches the steps of the schedules: 0.01 takes the paper's
      from 40,000 steps to 400.
  """

  epsilon: float = 1e-5
  r_max: float | Schedule = dataclasses.field(default=PAPER_R_MAX, kw_only=True)
  d_max: float | Schedule = dataclasses.field(default=PAPER_D_MAX, kw_only=True)
  schedule_scale: float = dataclasses.field(default=1.0, kw_only=True)

  def forward(
    self, x: jax.Array, mask: jax.Array | None, use_running_average: bool
  ) -> jax.Array:
    """The formula of the class, for checked input."""
    self.check_limits()
    fields.refuse_complex('BatchRenorm', x)
    features, reduced = self.feature_and_reduction_axes(x)
    running = self.running_statistics(
      [x.shape[axis] for axis in features], mean=jnp.zeros, std=jnp.ones
    )
    step = self.variable('batch_stats', 'step', jnp.zeros, (), jnp.int32)
    mean, std = self.stored(running, reduced)
    if use_running_average:
      # The running deviation holds epsilon: take it out, `normalize` adds it.
      var = lax.square(std) - self.epsilon
      return self.normalize(x, Moments(mean, var, 1.0), features)

    statistics = self.moments(x, reduced, mask)
    _, correction = self.corrections(statistics, mean, std, step.value)
    batch = squeezed(statistics, reduced)
    self.update(
      running, batch.count, mean=batch.mean, std=self.deviation(batch)
    )
    if not self.is_initializing():
      step.value += jnp.any(batch.count > 0).astype(jnp.int32)
    return self.normalize(x, statistics, features, correction=correction)

  def deviation(self, batch: Moments) -> jax.Array:
    """std_B, with epsilon in it."""
    return jnp.sqrt(batch.var + self.epsilon)

  def corrections(
    self, batch: Moments, mean: jax.Array, std: jax.Array, step: jax.Array
  ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    """r and d without limits, and within those of this step of the layer.

    Constants for the gradient.
    """
    r = lax.stop_gradient(self.deviation(batch) / std)
    d = lax.stop_gradient((batch.mean - mean) / std)
    r_max = self.limit(self.r_max, step)
    d_max = self.limit(self.d_max, step)
    limited = jnp.clip(r, 1 / r_max, r_max), jnp.clip(d, -d_max, d_max)
    return (r, d), limited

  def limit(self, value: float | Schedule, step: jax.Array) -> jax.Array:
    """r_max or d_max at this step of the layer."""
    now = value(step / self.schedule_scale) if callable(value) else value
    return jnp.asarray(now, jnp.float32)

  def check_limits(self) -> None:
    """Raises ValueError where r_max, d_max or schedule_scale make no sense."""
    lowest = {'r_max': 1, 'd_max': 0}
    for field, low in lowest.items():
      value = getattr(self, field)
      if callable(value) or fields.is_traced(value):
        continue
      if not value >= low:
        raise ValueError(
          f'BatchRenorm: {field}={value!r} must be at least {low}, or a '
          'function of the step'
        )
    scale = self.schedule_scale
    if not fields.is_traced(scale) and not scale > 0:
      raise ValueError(
        f'BatchRenorm: schedule_scale={scale!r} must be positive'
      )
