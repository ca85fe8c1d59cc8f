"""Networks, and the table of their names; norm and activation are passed in."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from normlab import errors, own_code, registry
from normlab.models import blocks
from normlab.models.bn_inception import BNInception
from normlab.models.cnn import CNN
from normlab.models.inception import Inception
from normlab.models.mlp import MLP
from normlab.models.resnet import ResNet18, ResNet50

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

KERNEL_INITS = {
  'he_normal': blocks.he_normal,
  # "Glorot" is all that arXiv:1805.11604 says: either could be meant.
  'glorot_normal': nn.initializers.glorot_normal(),
  'glorot_uniform': nn.initializers.glorot_uniform(),
  # "Small random Gaussian values" (arXiv:1502.03167, section 4.1). The number
  # is our choice: 1 / sqrt(inputs) for the 100 units of that network's layers,
  # so that it trains without a norm.
  'small_normal': nn.initializers.normal(0.1),
}

DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}

# What own code need not declare, and has then: values of the config's fields.
UNDECLARED = {'dtype': 'float32', 'activation': 'relu', 'dropout': 0.0}
# Arguments that a model is given, and own code need not declare; the hooks only
# where they are empty.
GIVEN = ('num_classes', 'kernel_init', *UNDECLARED)
HOOKS = ('norm', 'kernel_norm')


def build(
  name: str,
  *,
  activation: str = 'relu',
  dtype: str = 'float32',
  kernel_init: str = 'he_normal',
  **fields: Any,
) -> nn.Module:
  """A model by name.

  Name, activation, dtype and kernel_init are keys of the tables above; all but
  the dtype can be import paths of own code. The dtype is that of all that is
  computed up to the logits; these, parameters and statistics are float32.
  Fields are those of the model's constructor (`num_classes`, `norm` and
  `kernel_norm` among them); lists are taken as tuples.

  Own code is given those of `GIVEN` and `HOOKS` that it declares.

  Raises:
    errors.ConfigError: an unknown name or field, and lists the known ones; an
      import that fails; own code that makes no `flax.linen.Module`.
  """
  model = registry.find('model', name, MODELS)
  known = fields_of(name)
  fields = {
    k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
  }
  fields |= {
    'activation': registry.find('activation', activation, ACTIVATIONS),
    'dtype': registry.lookup('dtype', dtype, DTYPES),
    'kernel_init': registry.find('kernel_init', kernel_init, KERNEL_INITS),
  }
  if own_code.is_import_path(name):
    fields = declared(name, fields, known)
  registry.check_fields(f'model {name!r}', fields, known)
  made = model(**fields)
  if not isinstance(made, nn.Module):
    raise errors.ConfigError(
      f'model {name!r} makes a {type(made).__name__}; must make a '
      'flax.linen.Module'
    )
  return made


def declared(
  name: str, fields: dict[str, Any], known: list[str]
) -> dict[str, Any]:
  """The fields of own code, without those that it need not declare.

  Raises:
    errors.ConfigError: it has no place for its norm.
  """
  for hook in HOOKS:
    if fields.get(hook) is not None and hook not in known:
      raise errors.ConfigError(
        f'model {name!r} declares no {hook}: it must be an argument, or '
        "config.norm.name='none'"
      )
  left_out = {*GIVEN, *HOOKS} - {*known}
  return {k: v for k, v in fields.items() if k not in left_out}


def fields_of(name: str) -> list[str]:
  """The constructor fields of a model, by its name in `MODELS` or its path.

  Raises:
    errors.ConfigError: an unknown name; lists the known ones.
  """
  return registry.arguments(registry.find('model', name, MODELS))
