"""Networks, and the table of their names; norm and activation are passed in."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from normlab import errors, registry
from normlab.models.bn_inception import BNInception
from normlab.models.cnn import CNN
from normlab.models.inception import Inception
from normlab.models.mlp import MLP
from normlab.models.resnet import ResNet18, ResNet50

__all__ = [
  'ACTIVATIONS',
  'CNN',
  'DTYPES',
  'MLP',
  'MODELS',
  'BNInception',
  'Inception',
  'ResNet18',
  'ResNet50',
  'build',
  'fields_of',
]

MODELS: dict[str, type[nn.Module]] = {
  'mlp': MLP,
  'cnn': CNN,
  'inception': Inception,
  'resnet18': ResNet18,
  'resnet50': ResNet50,
  'bn_inception': BNInception,
}

ACTIVATIONS = {
  'relu': nn.relu,
  'sigmoid': nn.sigmoid,
  'tanh': nn.tanh,
  'gelu': nn.gelu,
  'silu': nn.silu,
  'identity': lambda x: x,
}

DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}


def build(
  name: str,
  *,
  activation: str = 'relu',
  dtype: str = 'float32',
  **fields: Any,
) -> nn.Module:
  """A model by name.

  Args:
    name: a key of `MODELS`.
    activation: a key of `ACTIVATIONS`.
    dtype: a key of `DTYPES`: of all that is computed up to the logits, which
      are float32, as are parameters and statistics.
    **fields: constructor fields of that model (`num_classes`, `norm` and
      `kernel_norm` among them); lists are taken as tuples. Each of these two
      may be what `norms.build` returns, which holds both hooks.

  Raises:
    errors.ConfigError: an unknown name or field, and lists the known ones; or
      one hook filled twice.
  """
  model = registry.lookup('model', name, MODELS)
  registry.check_fields(f'model {name!r}', fields, fields_of(name))
  function = registry.lookup('activation', activation, ACTIVATIONS)
  precision = registry.lookup('dtype', dtype, DTYPES)
  fields |= hooks(fields.get('norm'), fields.get('kernel_norm'))
  fields = {
    k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
  }
  return model(activation=function, dtype=precision, **fields)


def hooks(norm: Any, kernel_norm: Any) -> dict[str, Any]:
  """The two hooks, each from the argument that fills it.

  Args:
    norm: a factory of norms, or what `norms.build` returns; None fills none.
    kernel_norm: a wrapper of layers, or the same.

  Raises:
    errors.ConfigError: both fill the same hook.
  """
  filled: dict[str, Any] = {'norm': None, 'kernel_norm': None}
  for own, value in {'norm': norm, 'kernel_norm': kernel_norm}.items():
    holds_both = hasattr(value, 'kernel_norm')
    for hook, made in ({**value} if holds_both else {own: value}).items():
      if made is not None and filled[hook] is not None:
        raise errors.ConfigError(
          f'norm={norm!r} and kernel_norm={kernel_norm!r} both fill the hook '
          f'{hook!r}; let one of them leave it'
        )
      filled[hook] = made if made is not None else filled[hook]
  return filled


def fields_of(name: str) -> list[str]:
  """The constructor fields of a model, by its name in `MODELS`.

  Raises:
    errors.ConfigError: an unknown name; lists the known ones.
  """
  return [
    field.name
    for field in dataclasses.fields(registry.lookup('model', name, MODELS))
    if field.init and field.name not in ('name', 'parent')
  ]
