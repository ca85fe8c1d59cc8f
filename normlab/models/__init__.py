"""Networks, and the table of their names; norm and activation are passed in."""

import dataclasses
from typing import Any

from flax import linen as nn

from normlab import names
from normlab.models.cnn import CNN
from normlab.models.inception import Inception
from normlab.models.mlp import MLP

__all__ = [
  'ACTIVATIONS',
  'CNN',
  'MLP',
  'MODELS',
  'Inception',
  'build',
  'fields_of',
]

MODELS: dict[str, type[nn.Module]] = {
  'mlp': MLP,
  'cnn': CNN,
  'inception': Inception,
}

ACTIVATIONS = {
  'relu': nn.relu,
  'sigmoid': nn.sigmoid,
  'tanh': nn.tanh,
  'gelu': nn.gelu,
  'silu': nn.silu,
  'identity': lambda x: x,
}


def build(name: str, *, activation: str = 'relu', **fields: Any) -> nn.Module:
  """A model by name.

  Args:
    name: a key of `MODELS`.
    activation: a key of `ACTIVATIONS`.
    **fields: constructor fields of that model (`num_classes`, `norm` and
      `kernel_norm` among them); lists are taken as tuples. A `norm` that holds
      both hooks, of `norms.build`, fills both.

  Raises:
    names.ConfigError: an unknown name or field; lists the known ones.
  """
  model = names.lookup('model', name, MODELS)
  names.check_fields(f'model {name!r}', fields, fields_of(name))
  function = names.lookup('activation', activation, ACTIVATIONS)
  if hasattr(fields.get('norm'), 'kernel_norm'):
    fields |= {**fields['norm']}
  fields = {
    k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
  }
  return model(activation=function, **fields)


def fields_of(name: str) -> list[str]:
  """The constructor fields of a model, by its name in `MODELS`.

  Raises:
    names.ConfigError: an unknown name; lists the known ones.
  """
  return [
    field.name
    for field in dataclasses.fields(names.lookup('model', name, MODELS))
    if field.init and field.name not in ('name', 'parent')
  ]
