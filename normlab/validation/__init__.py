"""Checks a whole config before anything compiles or is written.

`fields` has the rule of each field; `owners`, `training` and `inputs` have the
rules between fields. The checks of the parts (names, fields, shapes) are called
from here. Every problem is one line: field, value, what is allowed.
"""

import ml_collections

from normlab import data
from normlab.errors import ConfigError
from normlab.validation import fields, inputs, owners, training
from normlab.validation.facts import Facts
from normlab.validation.relation import Relation, ask_all

__all__ = ['RELATIONS', 'ConfigError', 'check', 'check_complete']

# Names first: what depends on one that is unknown is not asked. Shapes last.
RELATIONS: tuple[Relation, ...] = (
  *owners.RELATIONS,
  *training.RELATIONS,
  *inputs.RELATIONS,
)


def check(config: ml_collections.ConfigDict) -> data.Description:
  """Refuses a config that cannot be trained, and says all that is wrong.

  Nothing is computed, compiled or written; the data set's metadata are read.

  Args:
    config: as in `configs/base.py`; of any fields and values.

  Returns:
    The description of its data set.

  Raises:
    ConfigError: all problems that do not follow from one another, a line each,
      in the order of the fields.
  """
  if not isinstance(config, ml_collections.ConfigDict):
    raise ConfigError(
      f'the config is a {type(config).__name__}; must be a ConfigDict that '
      'starts from configs/base.py'
    )
  facts = Facts(config)
  found = ask_all(RELATIONS, facts, fields.problems(config))
  if found:
    lines = (found[path] for path in sorted(found, key=position))
    # All that is missing is one line.
    raise ConfigError(*dict.fromkeys(lines))
  return facts.description


def check_complete(config: ml_collections.ConfigDict) -> None:
  """Refuses a config that a record cannot hold, or whose values are wrong.

  That needs neither data nor model, so it is also asked of a run that has its
  result, whose data may be gone.

  Raises:
    ConfigError: what `check` finds, if there is something wrong with a field.
  """
  is_config = isinstance(config, ml_collections.ConfigDict)
  if not is_config or fields.problems(config):
    check(config)


def position(path: str) -> int:
  """Where a field, or the first one of a section, stands in a config."""
  for i, field in enumerate(fields.FIELDS):
    if field == path or field.startswith(f'{path}.'):
      return i
  return len(fields.FIELDS)
