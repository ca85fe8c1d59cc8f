"""Factories of norms, which models are given; they compare by value."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from flax import linen as nn


@dataclasses.dataclass(frozen=True)
class NormFactory:
  """Makes the norms of a model; equal and hashable by value.

  Two factories with the same class and fields are the same argument to
  `jax.jit`, so that runs which differ in numbers only share compiled programs.
  Fields are sorted pairs.
  """

  layer: type[nn.Module]
  fields: tuple[tuple[str, Any], ...] = ()

  def __call__(self, *args: Any, **kwargs: Any) -> nn.Module:
    """A layer; `kwargs` (`name`, `scale_init`, ...) go before the fields.

    A norm of kernels takes the layer to wrap.
    """
    return self.layer(*args, **{**dict(self.fields), **kwargs})

  def with_numbers(self, numbers: Mapping[str, Any]) -> 'NormFactory':
    """The factory with other numbers in those of its fields that are set.

    Under `jax.jit` they are arrays, with which a factory is no key of a
    compiled program.
    """
    fields = ((k, numbers.get(k, v)) for k, v in self.fields)
    return dataclasses.replace(self, fields=tuple(fields))

  @property
  def replaces_bias(self) -> bool:
    """Whether a model leaves out the bias of the layer in front."""
    # True of a layer of others, which brings its own bias.
    return getattr(self.layer, 'replaces_bias', True)

  @property
  def replaces_activation(self) -> bool:
    """Whether a model leaves out the activation behind."""
    return getattr(self(parent=None), 'replaces_activation', False)


@dataclasses.dataclass(frozen=True)
class Hooks:
  """The two hooks of a model; a mapping, so `CNN(..., **hooks)` fills them.

  Where only one is filled, the whole can be called as that factory itself.

  Attributes:
    norm: makes the norms of activations, called as norm(name='norm').
    kernel_norm: wraps a layer in a norm of its kernel, called as
      kernel_norm(layer, name='kernel_norm').
  """

  norm: NormFactory | None = None
  kernel_norm: NormFactory | None = None

  def keys(self) -> Iterator[str]:
    """The names of the hooks, as in a mapping."""
    return (field.name for field in dataclasses.fields(self))

  # Any, as a checker holds what ** unpacks against every field of the model,
  # also against flax's `name` and `parent`.
  def __getitem__(self, hook: str) -> Any:
    """The hook of that name, as in a mapping: a NormFactory or None."""
    if hook not in self.keys():
      raise KeyError(hook)
    return getattr(self, hook)

  def __call__(self, *args: Any, **kwargs: Any) -> nn.Module:
    """Calls the only hook: `kernel_norm` with a layer to wrap, else `norm`.

    Raises:
      TypeError: the other hook is filled, which this call would lose, or this
        one is not.
    """
    return self._only('kernel_norm' if args else 'norm')(*args, **kwargs)

  @property
  def replaces_bias(self) -> bool:
    """Whether a model leaves out the bias of the layer in front."""
    return self._only('norm').replaces_bias

  @property
  def replaces_activation(self) -> bool:
    """Whether a model leaves out the activation behind."""
    return self._only('norm').replaces_activation

  def _only(self, hook: str) -> NormFactory:
    filled = {name: made for name, made in {**self}.items() if made}
    if filled.keys() != {hook}:
      layers = {name: made.layer.__name__ for name, made in filled.items()}
      raise TypeError(
        f'Hooks: {layers} cannot be called as {hook} alone; fill the hooks of '
        'the model, CNN(..., **norms.build(...))'
      )
    return filled[hook]
