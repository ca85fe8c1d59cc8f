"""Configs with fields of any value, and what is found to be wrong with them."""

import ml_collections

from configs import base
from normlab import errors, validation


def changed(fields):
  """The base config with these values by path, of any type and in any place."""
  # A config whose types are set turns True into 1.0, where it takes a float.
  nested = base.get_config().to_dict()
  for path, value in fields.items():
    *sections, name = path.split('.')
    owner = nested[sections[0]] if sections else nested
    owner[name] = value
  return ml_collections.ConfigDict(nested)


def problems(config):
  """The lines of the error; none for a config that can be trained."""
  try:
    validation.check(config)
  except errors.ConfigError as error:
    assert str(error) == '\n'.join(error.problems)
    assert not [line for line in error.problems if '\n' in line or not line]
    return list(error.problems)
  return []
