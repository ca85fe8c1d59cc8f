"""The identity of a run: which configs are the same run."""

import functools
import hashlib
import json
import re
from typing import Any

import ml_collections
import numpy as np
from ml_collections import config_dict

# Where the data lie and how they are read, what is kept and what is watched:
# fields that do not change the numbers of a run.
WITHOUT_EFFECT = (
  'label',
  'code_dir',
  'data.data_dir',
  'data.workers',
  'checkpoint_every',
  'keep_checkpoints',
  'debug_nans',
  'profile',
)

# In the path of an option, of which the section holds any.
OPTIONS = '.options.'


def run_name(config: ml_collections.ConfigDict) -> str:
  """A readable label and a hash of the resolved config: 'digits_cnn-4f2a...'.

  Two configs that train the same have the same hash: see `comparable`.
  """
  label = re.sub(r'[^A-Za-z0-9_.=-]+', '-', config.label)
  return f'{label}-{identity(config)}'


def identity(config: ml_collections.ConfigDict) -> str:
  """The hash in the name: equal for two configs that train the same."""
  text = json.dumps(comparable(resolved(config)), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:10]


def resolved(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """The config as plain JSON values, references resolved, tuples as lists."""
  plain = config.copy_and_resolve_references()
  return json.loads(plain.to_json(json_encoder_cls=_Encoder))


class _Encoder(config_dict.CustomJSONEncoder):
  """Writes NumPy's numbers as numbers."""

  def default(self, obj: Any) -> Any:
    """The JSON form of a value that JSON does not know."""
    return obj.item() if isinstance(obj, np.generic) else super().default(obj)


def comparable(config: dict[str, Any]) -> dict[str, Any]:
  """A resolved config, flat, without what does not change the result.

  Fields that are None are left out too: a field that is added to all configs,
  and is off in this one, does not make it another run.
  """
  flat = flatten(config)
  return {
    k: canonical(v) if OPTIONS in k else v
    for k, v in flat.items()
    if v is not None and k not in WITHOUT_EFFECT
  }


def canonical(value: Any) -> Any:
  """The value of an option, whose type no field tells: 5 and 5.0 are one."""
  if isinstance(value, list | tuple):
    return list(map(canonical, value))
  is_whole = isinstance(value, int) and not isinstance(value, bool)
  return float(value) if is_whole and abs(value) < 2**53 else value


def differences(
  there: dict[str, Any], here: dict[str, Any]
) -> dict[str, tuple[Any, Any]]:
  """The fields, by dotted path, in which two resolved configs differ."""
  flat_there, flat_here = comparable(there), comparable(here)
  return {
    key: (flat_there.get(key), flat_here.get(key))
    for key in sorted({*flat_there, *flat_here})
    if flat_there.get(key) != flat_here.get(key)
  }


def flatten(config: Any, prefix: str = '') -> dict[str, Any]:
  """Nested fields as {'optimizer.learning_rate': ...}."""
  flat = {}
  for key, value in config.items():
    if isinstance(value, dict | ml_collections.ConfigDict):
      flat.update(flatten(value, f'{prefix}{key}.'))
    else:
      flat[prefix + key] = value
  return flat


def types(config: ml_collections.ConfigDict) -> dict[str, type]:
  """The type of each field, by dotted path, also of placeholders."""
  found = {}
  for path in flatten(config):
    *sections, field = path.split('.')
    found[path] = functools.reduce(getattr, sections, config).get_type(field)
  return found
