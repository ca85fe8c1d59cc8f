"""Mixins of the norms: constructor fields, parameters and checks.

With mixins each field is declared once, and every layer keeps the positional
order of its `flax.linen` namesake: dataclass fields are collected from the last
base to the first.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen import dtypes
from jax.core import Tracer

from normlab.norms.core import moments
from normlab.norms.core.fusion import traced
from normlab.norms.core.pooling import Moments, pool_devices
from normlab.norms.core.standardize import standardize

LARGEST_TO_SQUARE = 1.8e19  # In float32.


class Affine(nn.Module):
  """Standardization with a learned scale and bias.

  Attributes:
    epsilon: added to the variance, inside the root.
    dtype: of the result; None takes it from the input and the parameters.
    param_dtype: of `scale` and `bias`.
    use_bias: adds a learned bias.
    use_scale: multiplies by a learned scale.
    bias_init: zeros.
    scale_init: ones.
  """

  epsilon: float = 1e-6
  dtype: Any = None
  param_dtype: Any = jnp.float32
  use_bias: bool = True
  use_scale: bool = True
  bias_init: nn.initializers.Initializer = nn.initializers.zeros
  scale_init: nn.initializers.Initializer = nn.initializers.ones

  # Whether a model leaves out the bias of the layer in front, whose role the
  # bias of the norm takes (1502.03167, section 3.2).
  replaces_bias: ClassVar[bool] = True
  # Whether a model leaves out the activation behind: this is both in one.
  replaces_activation: ClassVar[bool] = False

  def normalize(
    self,
    x: jax.Array,
    statistics: Moments,
    feature_axes: Sequence[int],
    *,
    correction: tuple[jax.Array, jax.Array] | None = None,
  ) -> jax.Array:
    """Standardizes `x`, then applies this layer's scale and bias.

    Statistics are shaped to broadcast against `x`; for the correction see
    `standardize`.
    """
    scale, bias = self.scale_and_bias(x, feature_axes)
    return standardize(
      x,
      statistics,
      epsilon=self.epsilon,
      scale=scale,
      bias=bias,
      correction=correction,
      dtype=self.result_dtype(x, scale, bias),
    )

  def rescale(self, x: jax.Array, feature_axes: Sequence[int]) -> jax.Array:
    """x * scale + bias alone; the arguments are those of `normalize`."""
    scale, bias = self.scale_and_bias(x, feature_axes)
    y = x if scale is None else x * scale
    y = y if bias is None else y + bias
    return y.astype(self.result_dtype(x, scale, bias))

  def scale_and_bias(
    self, x: jax.Array, feature_axes: Sequence[int]
  ) -> tuple[jax.Array | None, jax.Array | None]:
    """The parameters, broadcastable to `x`; None where there is none."""
    shape = [x.shape[axis] for axis in feature_axes]
    others = [axis for axis in range(x.ndim) if axis not in feature_axes]

    def parameter(name: str, init: nn.initializers.Initializer) -> jax.Array:
      value = self.param(name, init, shape, self.param_dtype)
      return jnp.expand_dims(value, others)

    return (
      parameter('scale', self.scale_init) if self.use_scale else None,
      parameter('bias', self.bias_init) if self.use_bias else None,
    )

  def result_dtype(self, *operands: jax.Array | None) -> Any:
    """`dtype`, or else the joint one of those operands that are not None."""
    given = [operand for operand in operands if operand is not None]
    return dtypes.canonicalize_dtype(*given, dtype=self.dtype)


class CheckedInput(nn.Module):
  """The checks of what a norm is called with, and its precision inside."""

  # A field of the layers that have statistics. Without annotation: a ClassVar
  # would keep a place among the fields, before those it comes after in flax.
  force_float32_reductions = True

  def prepare(
    self, x: jax.Array, mask: jax.Array | None
  ) -> tuple[jax.Array, jax.Array | None]:
    """Checks the input, and puts zero for NaN, inf and the like under the mask.

    What is masked must not matter, and NaN times a zero gradient is NaN: so it
    goes before anything is computed from it, as do values whose square would
    overflow.
    """
    x = traced(x)
    name = type(self).__name__
    if not jnp.issubdtype(x.dtype, jnp.inexact):
      raise TypeError(
        f'{name}: the input has dtype {x.dtype}; allowed are floating point '
        'and complex dtypes, so cast it first'
      )
    epsilon = getattr(self, 'epsilon', 0)
    if not is_traced(epsilon) and epsilon < 0:
      raise ValueError(f'{name}: epsilon={epsilon!r} must not be negative')
    if x.size == 0:
      raise ValueError(
        f'{name}: the input has shape {x.shape}, which holds no values'
      )
    if mask is None:
      return x, None
    mask = traced(mask).astype(bool)
    try:
      fits = jnp.broadcast_shapes(mask.shape, x.shape) == x.shape
    except ValueError:
      fits = False
    if not fits:
      raise ValueError(
        f'{name}: mask has shape {mask.shape}, which does not broadcast to '
        f'that of the input, {x.shape}'
      )
    largest = float(jnp.finfo(x.dtype).max)
    harmless = jnp.abs(x) <= min(largest, LARGEST_TO_SQUARE)
    return jnp.where(mask | harmless, x, 0), mask

  def statistics_dtype(self, x: jax.Array) -> Any:
    """Precision of the statistics of `x`."""
    dtype = self.dtype or x.dtype
    if not self.force_float32_reductions:
      return dtype
    return jnp.promote_types(jnp.promote_types(dtype, x.dtype), jnp.float32)


class Stateless(CheckedInput):
  """A norm without running statistics; the subclass has `forward`."""

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    use_running_average: bool | None = None,
    *,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Normalizes each example by itself.

    Args:
      x: [batch, ..., features], or features along the axes in the fields.
      use_running_average: ignored; accepted so that all norms are called alike.
      mask: boolean, broadcastable to `x`; False values do not count.

    Returns:
      The shape of `x`.

    Raises:
      ValueError: a bad field, mask or shape; names it and what is allowed.
      TypeError: integer input, or complex where numbers are ordered.
    """
    del use_running_average
    return self.forward(*self.prepare(x, mask))

  def forward(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The result for checked input."""
    raise NotImplementedError


class Statistics(CheckedInput):
  """How a norm computes its mean and variance.

  Attributes:
    axis_name: joins the statistics over this axis of `jax.shard_map` or
      `jax.pmap`, weighted by counts. Not for plain `jit`, where a sharded
      batch has global statistics anyway.
    axis_index_groups: joins within these groups of devices only.
    use_fast_variance: accepted so that `flax.linen` constructors work; both
      values give the same accurate variance (see `moments`).
    force_float32_reductions: statistics in float32 at least. False computes
      them in the precision of the input, and running ones in `param_dtype`.
  """

  axis_name: str | None = None
  axis_index_groups: Any = None
  use_fast_variance: bool = True
  force_float32_reductions: bool = True

  def moments(
    self,
    x: jax.Array,
    axes: Sequence[int],
    mask: jax.Array | None,
    *,
    center: bool = True,
    synchronize: bool = True,
  ) -> Moments:
    """Statistics of `x` over `axes`, and over the devices of `axis_name`."""
    result = moments.moments(
      x, axes, mask=mask, center=center, dtype=self.statistics_dtype(x)
    )
    return self.synchronized(result) if synchronize else result

  def synchronized(self, part: Moments) -> Moments:
    """Joins the statistics over `axis_name`, where that is set."""
    # While initializing, the mapped axis need not exist yet (as in flax).
    if self.axis_name is None or self.is_initializing():
      return part
    try:
      return pool_devices(part, self.axis_name, self.axis_index_groups)
    except NameError as error:
      raise ValueError(
        f'{type(self).__name__}: axis_name={self.axis_name!r} is not an axis '
        'of a surrounding jax.shard_map, jax.pmap or jax.vmap; under plain '
        'jax.jit leave axis_name=None: statistics of a sharded batch are '
        'global there'
      ) from error


def is_traced(value: Any) -> bool:
  """Whether a field is an argument of the compiled program.

  Its number is not known here, so that it was checked before.
  """
  return isinstance(value, Tracer)


def refuse_complex(layer: str, x: jax.Array) -> None:
  """Raises TypeError for a complex `x`."""
  if jnp.iscomplexobj(x):
    raise TypeError(
      f'{layer}: the input has dtype {x.dtype}; allowed are real floating '
      'point dtypes: complex numbers are not ordered'
    )
