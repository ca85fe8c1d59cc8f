"""The base class of norms on kernels: a layer called with other kernels."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from normlab.norms.core import fields


class KernelNorm(nn.Module):
  """A wrapper that calls a layer with a function of its parameters.

  The layer keeps its own, raw parameters, under its own name, and gradients
  and updates are those of the raw ones. Of wrappers within each other the
  inner one comes last, as the outer one hands it a kernel to start from.

  Attributes:
    layer_instance: the wrapped layer: `nn.Conv`, `nn.Dense`, or any module with
      a kernel. Its name and its parameters are those of the layer alone.
  """

  layer_instance: nn.Module

  replaces_bias: ClassVar[bool] = False
  replaces_activation: ClassVar[bool] = False

  @nn.compact
  def __call__(
    self, *args: Any, update_stats: bool | None = None, **kwargs: Any
  ) -> Any:
    """Calls the layer with its kernel normalized; returns what that returns.

    The state moves if `update_stats`: True in training, False in inference.
    Without a state it is ignored.

    Raises:
      ValueError: a bad field, a state without `update_stats`, or a layer
        without a kernel to normalize.
    """
    self.check(update_stats)
    if isinstance(self.layer_instance, KernelNorm):
      kwargs['update_stats'] = update_stats
    seen, selected = [], []

    def view(path: tuple[Any, ...], value: jax.Array) -> jax.Array:
      name = jax.tree_util.keystr(path[1:], simple=True, separator='/')
      name = f'{self.layer_instance.name}/{name}'
      seen.append(name)
      if not self.selects(name, value):
        return value
      selected.append(name)
      return self.transformed(name, value, update_stats)

    if self.is_initializing():
      # Here, and not by the init of map_variables, which would store the
      # transformed parameters in place of the raw ones.
      self.layer_instance(*args, **kwargs)
    y = nn.map_variables(
      lambda layer: layer(*args, **kwargs),
      'params',
      trans_in_fn=lambda tree: jax.tree_util.tree_map_with_path(view, tree),
    )(self.layer_instance)
    if not selected:
      raise ValueError(
        f'{type(self).__name__}: layer_instance='
        f'{type(self.layer_instance).__name__}() must have {self.wanted()} to '
        f'normalize; its parameters are {sorted(seen)}'
      )
    return y

  def check(self, update_stats: bool | None) -> None:
    """Raises a ValueError for bad fields and a missing `update_stats`."""
    raise NotImplementedError

  def selects(self, path: str, value: jax.Array) -> bool:
    """Whether to normalize the parameter of this path, as 'conv/kernel'."""
    return 'kernel' in path.split('/') and value.ndim >= 2

  def wanted(self) -> str:
    """A name for the kernels that `selects` selects, for errors."""
    return 'a kernel of rank 2 or more'

  def transformed(
    self, path: str, value: jax.Array, update_stats: bool | None
  ) -> jax.Array:
    """The parameter that the layer is called with, for the raw one."""
    raise NotImplementedError

  def check_epsilon(self) -> None:
    """Raises a ValueError for one that is known and negative."""
    self.require(
      'epsilon',
      self.epsilon is None
      or fields.is_traced(self.epsilon)
      or self.epsilon >= 0,
      'not be negative',
    )

  def require(self, field: str, satisfied: bool, allowed: str) -> None:
    """Raises a ValueError that names the field and says what is allowed."""
    if not satisfied:
      raise ValueError(
        f'{type(self).__name__}: {field}={getattr(self, field)!r} must '
        f'{allowed}'
      )


def in_float32(value: jax.Array) -> jax.Array:
  """In float32 at least: half precision squares and sums too coarsely."""
  return value.astype(jnp.promote_types(value.dtype, jnp.float32))


def inverse_root(square: jax.Array) -> jax.Array:
  """1 / sqrt(square), and 1 where it is not positive; differentiable there."""
  positive = square > 0
  return jnp.where(positive, lax.rsqrt(jnp.where(positive, square, 1)), 1)
