"""Checks a whole config before anything compiles or is written.

`fields` has the rule of each field; `owners`, `training`, `inputs`, `networks`,
`own_parts` and `measuring` have the rules between fields. The checks of the
parts (names, fields, shapes) are called from here. Every problem is one line:
field, value, what is allowed.
"""

from collections.abc import Iterable
from typing import Any

import ml_collections

from normlab.errors import ConfigError
from normlab.validation import (
  fields,
  inputs,
  measuring,
  networks,
  own_parts,
  owners,
  training,
)
from normlab.validation.facts import Facts
from normlab.validation.relation import Relation, ask_all

__all__ = ['CheckedConfig', 'ConfigError', 'check', 'check_complete', 'notes']

# Names first: what depends on one that is unknown is not asked. Shapes last.
RELATIONS: tuple[Relation, ...] = (
  *owners.RELATIONS,
  *training.RELATIONS,
  *inputs.RELATIONS,
  *networks.RELATIONS,
  *own_parts.RELATIONS,
  *measuring.RELATIONS,
)


class CheckedConfig(ml_collections.FrozenConfigDict):
  """A config in which `check` found nothing wrong; it cannot be changed."""

  def but(self, **fields: Any) -> 'CheckedConfig':
    """With other values, which are allowed whatever the others are."""
    changed = ml_collections.ConfigDict(self)
    with changed.unlocked():
      changed.update(fields)
    return CheckedConfig(changed)


def check(config: ml_collections.ConfigDict) -> CheckedConfig:
  """Refuses a config that cannot be trained, and says all that is wrong.

  Nothing is computed, compiled or written; the data set's metadata are read.
  A config that is checked already is returned as it is.

  Raises:
    ConfigError: all problems that do not follow from one another, a line each,
      in the order of the fields.
  """
  if isinstance(config, CheckedConfig):
    return config
  if not isinstance(config, ml_collections.ConfigDict):
    raise ConfigError(
      f'the config is a {type(config).__name__}; must be a ConfigDict that '
      'starts from configs/base.py'
    )
  found = ask_all(RELATIONS, Facts(config), fields.problems(config))
  if found:
    lines = (found[path] for path in sorted(found, key=position))
    # All that is missing is one line.
    raise ConfigError(*dict.fromkeys(lines))
  return CheckedConfig(config)


def check_complete(config: ml_collections.ConfigDict) -> None:
  """Refuses a config that a record cannot hold, or whose values are wrong.

  That needs neither data nor model, so it is also asked of a run that has its
  result, whose data may be gone.

  Raises:
    ConfigError: what `check` finds, if there is something wrong with a field.
  """
  is_config = isinstance(config, ml_collections.ConfigDict)
  is_checked = isinstance(config, CheckedConfig)
  if not is_checked and (not is_config or fields.problems(config)):
    check(config)


def notes(configs: Iterable[CheckedConfig]) -> list[str]:
  """What is allowed and seldom meant in some configs: a line each, once."""
  found = (line for config in configs for line in networks.notes(Facts(config)))
  return list(dict.fromkeys(found))


def position(path: str) -> int:
  """Where a field, or the first one of a section, stands in a config."""
  # Options stand behind the fields of their section.
  for i, field in enumerate(fields.FIELDS):
    if field == path or field.startswith(f'{path}.'):
      return i
  return len(fields.FIELDS)
