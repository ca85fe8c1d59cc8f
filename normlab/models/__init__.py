"""Networks, and the table of their names; norm and activation are passed in."""

import dataclasses
from typing import Any

from flax import linen as nn

from normlab import names
from normlab.models.cnn import CNN
from normlab.models.inception import Inception
from normlab.models.mlp import MLP

__all__ = ['ACTIVATIONS', 'CNN', 'MLP', 'MODELS', 'Inception', 'build']

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
    **fields: constructor fields of that model (`num_classes` and `norm` among
      them); lists are taken as tuples.

  Raises:
    names.ConfigError: an unknown name or field; lists the known ones.
  """
  model = names.lookup('model', name, MODELS)
  known = [
    field.name
    for field in dataclasses.fields(model)
    if field.init and field.name not in ('name', 'parent', 'activation')
  ]
  names.check_fields(f'model {name!r}', fields, known)
  function = names.lookup('activation', activation, ACTIVATIONS)
  fields = {
    k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
  }
  return model(activation=function, **fields)
