"""Batch normalization (Ioffe & Szegedy 2015, arXiv:1502.03167)."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from normlab.norms.core.fusion import joined, sliced
from normlab.norms.core.pooling import Moments
from normlab.norms.core.running import Averaging, mean_start


class BatchNorm(Averaging):
  """y = (x - E[x]) / sqrt(Var[x] + epsilon) * scale + bias, E over the batch.

  Drop-in for `flax.linen.BatchNorm`: the same fields, parameters (`scale`,
  `bias`), collection (`batch_stats` with `mean` and `var`, float32) and
  defaults. What is keyword-only is ours.

  Attributes:
    ghost_batch_size: gives each consecutive slice of so many examples its own
      statistics (ghost batches, Hoffer et al. 2017, arXiv:1705.08741), the same
      on any number of devices; the running ones move to the slices' average.
    unbiased: multiplies the variance that enters the running one by m / (m - 1)
      (Algorithm 2 of the paper, and PyTorch), m counting batch and space; the
      batch itself is normalized with the biased one, as there.
  """

  epsilon: float = 1e-5
  ghost_batch_size: int | None = dataclasses.field(default=None, kw_only=True)
  unbiased: bool = dataclasses.field(default=False, kw_only=True)

  def forward(
    self, x: jax.Array, mask: jax.Array | None, use_running_average: bool
  ) -> jax.Array:
    """The formula of the class, for checked input."""
    features, reduced = self.feature_and_reduction_axes(x)
    running = self.running_statistics(
      [x.shape[axis] for axis in features],
      jnp.float32 if self.force_float32_reductions else self.param_dtype,
      mean=mean_start(x),
      var=jnp.ones,
    )
    if use_running_average:
      mean, var = self.stored(running, reduced)
      return self.normalize(x, Moments(mean, var, 1.0), features)
    if self.ghost_batch_size is not None:
      slices = self.number_of_slices(x, features, self.ghost_batch_size)
      return self.normalize_slices(x, mask, features, running, slices)
    statistics = self.moments(x, reduced, mask)
    self.update_moments(running, squeezed(statistics, reduced))
    return self.normalize(x, statistics, features)

  def normalize_slices(
    self,
    x: jax.Array,
    mask: jax.Array | None,
    features: list[int],
    running: dict[str, nn.Variable],
    slices: int,
  ) -> jax.Array:
    """Normalizes each ghost batch by its own statistics."""
    ghosts = sliced(x, slices)
    if mask is not None:
      mask = sliced(jnp.broadcast_to(mask, x.shape), slices)
    features = [axis + 1 for axis in features]
    reduced = [a for a in range(1, ghosts.ndim) if a not in features]
    statistics = self.moments(ghosts, reduced, mask)
    mine = squeezed(statistics, reduced)
    # What the layer normalizes with is the variance within a slice: the
    # average must not add that between them.
    self.update_moments(
      running, jax.tree.map(lambda value: average_of(value, mine.count), mine)
    )
    return joined(self.normalize(ghosts, statistics, features), x)

  def number_of_slices(
    self, x: jax.Array, features: list[int], size: int
  ) -> int:
    """How many ghost batches `x` holds; raises ValueError where it cannot."""
    problem = None
    if size < 1 or len(x) % size:
      problem = f'must divide the batch, {len(x)} examples, and be positive'
    elif 0 in features:
      problem = f'needs the batch as first axis, not as axis={self.axis!r}'
    elif self.axis_name is not None:
      problem = f'excludes axis_name={self.axis_name!r}: let one be None'
    if problem:
      name = type(self).__name__
      raise ValueError(f'{name}: ghost_batch_size={size!r} {problem}')
    return len(x) // size

  def update_moments(
    self, running: dict[str, nn.Variable], batch: Moments
  ) -> None:
    """Moves the running mean and variance towards those of a batch."""
    var = batch.var
    if self.unbiased:
      var = var * (batch.count / jnp.maximum(batch.count - 1, 1))
    self.update(running, batch.count, mean=batch.mean, var=var)


def average_of(
  values: jax.Array | float, counts: jax.Array | float
) -> jax.Array | float:
  """Average over the first axis, weighted by counts; a number as it is."""
  if not isinstance(values, jax.Array):
    return values
  if not isinstance(counts, jax.Array):
    return values.mean(0)
  return (values * counts).sum(0) / jnp.maximum(counts.sum(0), 1)


def squeezed(statistics: Moments, axes: Sequence[int]) -> Moments:
  """The statistics without their reduced axes: the shape of the state."""
  count = statistics.count
  if isinstance(count, jax.Array):
    count = count.squeeze(axes)
  return Moments(
    statistics.mean.squeeze(axes), statistics.var.squeeze(axes), count
  )
