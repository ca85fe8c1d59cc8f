"""Weight normalization (Salimans & Kingma 2016, arXiv:1602.07868).

`initialize_from_data` is the initialization of section 3.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from flax import core, traverse_util
from flax import linen as nn
from flax.linen import dtypes

from normlab.norms.core import axis_fields, calls
from normlab.norms.kernels import kernel_norms

# Added to the variance: as in the authors' code, so that a pre-activation that
# does not depend on the data gets a large scale, and not an infinite one.
EPSILON = 1e-8

# Marks a layer for its further calls, in a copy of the parameters that is
# dropped. Among the variables, as `nn.scan` traces a call twice and a mark
# outside would stay from the first time.
INITIALIZED = 'initialized from data'

Path = tuple[str, ...]


class WeightNorm(kernel_norms.KernelNorm):
  """w = scale * v / sqrt(|v|^2 + epsilon): length and direction apart (eq. 2).

  Drop-in for `flax.linen.WeightNorm`: the same fields, defaults and parameters
  (v as the layer's own `kernel`, and `<layer>/kernel/scale`). It differs in
  four points: initialization stores the v of the layer's initializer as it is,
  and not divided by its length; lengths are taken in float32 at least; of a
  wrapped module only parameters are normalized, never running statistics; and
  a filter that nothing passes is an error.

  Attributes:
    epsilon: added to the squared length, so that a zero kernel stays finite.
    dtype: of the normalized kernel; None takes it from kernel and scale.
    param_dtype: of `scale`.
    use_scale: multiplies by a learned length.
    scale_init: of that length; ones. `initialize_from_data` sets it by data.
    feature_axes: the axes of the kernel that have a length of their own; -1 is
      the outputs of most layers, -2 those of a transposed `nn.ConvTranspose`,
      None gives the whole kernel one.
    variable_filter: strings; a parameter is normalized where its path, as in
      'conv/kernel', contains any of them. None or empty normalizes all.
  """

  epsilon: float = 1e-12
  dtype: Any = None
  param_dtype: Any = jnp.float32
  use_scale: bool = True
  scale_init: nn.initializers.Initializer = nn.initializers.ones
  feature_axes: axis_fields.Axes | None = -1
  variable_filter: Iterable[str] | None = frozenset({'kernel'})

  def check(self, update_stats: bool | None) -> None:
    """Rejects a negative epsilon, and a filter that is one string."""
    del update_stats
    self.check_epsilon()
    self.require(
      'variable_filter',
      not isinstance(self.variable_filter, str),
      "be a collection of strings, such as {'kernel'}",
    )

  def selects(self, path: str, value: jax.Array) -> bool:
    """Whether the filter contains a part of the path."""
    del value
    parts = self.variable_filter
    return not parts or any(part in path for part in parts)

  def wanted(self) -> str:
    """Says what the filter is."""
    if not self.variable_filter:
      return 'a parameter'
    return f'a parameter with one of {sorted(self.variable_filter)} in its path'

  def transformed(
    self, path: str, value: jax.Array, update_stats: bool | None
  ) -> jax.Array:
    """Equation 2, for one parameter."""
    del update_stats
    features = []
    if self.feature_axes is not None:
      features = axis_fields.canonical_axes(self, 'feature_axes', value.ndim)
    reduced = [axis for axis in range(value.ndim) if axis not in features]
    v = kernel_norms.in_float32(value)
    square = jnp.square(v).sum(reduced, keepdims=True)
    w = v * kernel_norms.inverse_root(square + self.epsilon)
    operands = [value]
    if self.use_scale:
      shape = [value.shape[axis] for axis in features]
      scale = self.param(
        f'{path}/scale', self.scale_init, shape, self.param_dtype
      )
      operands.append(scale)
      w *= scale.reshape(square.shape)
    return w.astype(dtypes.canonicalize_dtype(*operands, dtype=self.dtype))


def initialize_from_data(
  model: nn.Module, variables: Any, *args: Any, **kwargs: Any
) -> dict[str, Any]:
  """Sets scale and bias of weight-normalized layers by the data of one batch.

  With t = x v / |v| on that batch, scale = 1 / std[t] and
  bias = -mean[t] / std[t] (eq. 6): then every pre-activation has mean 0 and
  deviation 1. It takes one forward pass, in the order of the calls: each layer
  sees what the layers before it give with their new parameters. A layer that is
  called again keeps what the first call gave it. Without a bias only the scale
  is set, and the mean remains.

  Args:
    model: a module that calls `WeightNorm`, or one itself.
    variables: of the model; not changed.
    *args: of the model's call: the batch, [batch, ...], and what else it takes.
    **kwargs: of `model.apply`, such as `train=True` or `rngs={...}`.

  Returns:
    The variables with new scales and biases. What the call did to others,
    running statistics for example, is dropped.

  Raises:
    ValueError: the model calls no `WeightNorm`, or one with a scale that does
      not belong to the outputs of its layer, or one without outputs.
  """
  changed: set[Path] = set()
  with calls.replaced(functools.partial(_initialize, changed)):
    _, after = model.apply(variables, *args, mutable=True, **kwargs)
  if not changed:
    raise ValueError(
      f'initialize_from_data: model={type(model).__name__}() must call a '
      'WeightNorm'
    )
  params = traverse_util.flatten_dict(core.unfreeze(variables['params']))
  new = traverse_util.flatten_dict(core.unfreeze(after['params']))
  params = params | {path: new[path] for path in changed}
  return {**variables, 'params': traverse_util.unflatten_dict(params)}


def _initialize(
  changed: set[Path],
  norm: nn.Module,
  call: Callable[..., jax.Array],
  *args: Any,
  **kwargs: Any,
) -> Any:
  """Replaces a call: of a `WeightNorm` it standardizes the outputs."""
  is_to_change = isinstance(norm, WeightNorm)
  if not is_to_change or norm.has_variable('params', INITIALIZED):
    return call(*args, **kwargs)
  norm.put_variable('params', INITIALIZED, jnp.ones(()))
  layer = norm.layer_instance
  scale = _name_of_scale(norm)
  with_bias = layer.has_variable('params', 'bias')

  _fill(norm, scale, 1)
  changed.add((*norm.path, scale))
  if with_bias:
    _fill(layer, 'bias', 0)
    changed.add((*layer.path, 'bias'))
  t = call(*args, **kwargs)
  mean, std = _moments(norm, scale, t)
  _fill(norm, scale, 1 / std)
  if not with_bias:
    return (t / std).astype(t.dtype)
  _fill(layer, 'bias', -mean / std)
  return ((t - mean) / std).astype(t.dtype)


def _name_of_scale(norm: WeightNorm) -> str:
  kernel = f'{norm.layer_instance.name}/kernel/'
  params = norm.variables.get('params', {})
  found = sorted(name for name in params if name.endswith('/scale'))
  if len(found) != 1 or not found[0].startswith(kernel):
    raise ValueError(
      f'initialize_from_data: WeightNorm {"/".join(norm.path)!r} must have '
      f"one scale, '{kernel}scale'; it has {found}"
    )
  return found[0]


def _moments(
  norm: WeightNorm, scale: str, t: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Mean and deviation of `t`, in the shape of the scale."""
  shape = jnp.shape(*jax.tree.leaves(norm.get_variable('params', scale)))
  leading = t.ndim - len(shape)
  if t.size == 0 or t.shape[leading:] != shape:
    raise ValueError(
      f'initialize_from_data: WeightNorm {"/".join(norm.path)!r} must have '
      f'outputs of shape [..., {", ".join(map(str, shape))}], that of its '
      f'scale; they have shape {t.shape}'
    )
  t = t.astype(jnp.promote_types(t.dtype, jnp.float32))
  axes = tuple(range(leading))
  return t.mean(axes), jnp.sqrt(t.var(axes) + EPSILON)


def _fill(module: nn.Module, name: str, value: jax.Array | float) -> None:
  """Gives a parameter a value, in its own shape and dtype.

  By `tree.map`, so that a box around it, as `nn.Partitioned`, stays.
  """
  old = module.get_variable('params', name)
  new = jax.tree.map(
    lambda leaf: jnp.broadcast_to(value, leaf.shape).astype(leaf.dtype), old
  )
  module.put_variable('params', name, new)
