"""Rules of names: each must be known, and must have the fields that are set."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from normlab import errors, models, norms, own_code, registry
from normlab.data.sets import sources
from normlab.program import optim, programs
from normlab.validation import fields, rules
from normlab.validation.facts import Facts
from normlab.validation.relation import Relation

# Section to the fields of an owner, by its name; it refuses an unknown one.
OWNERS: dict[str, Callable[[str], list[str]]] = {
  'model': models.fields_of,
  'norm': norms.fields_of,
  'optimizer': optim.fields_of,
  'schedule': optim.schedule_fields_of,
}
# Section to the table of its owners, and the arguments that those are given.
TABLES: dict[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
  'model': (models.MODELS, (*models.HOOKS, *models.GIVEN)),
  'norm': (norms.NORMS, ('layer_instance',)),
  'optimizer': (optim.OPTIMIZERS, ('learning_rate', 'weight_decay', 'mask')),
  'schedule': (optim.SCHEDULES, tuple(optim.STEPS_AFTER)),
}


def known_owner(facts: Facts, *, section: str) -> None:
  """The owner of a section is known by its name."""
  OWNERS[section](facts.config[section].name)


def known_data_set(facts: Facts) -> None:
  """The data set is known by its name."""
  sources.check_name(facts.config.data.name)


def known_activation(facts: Facts) -> None:
  """The activation is known by its name."""
  registry.find('activation', facts.config.model.activation, models.ACTIVATIONS)


def known_kernel_init(facts: Facts) -> None:
  """The initializer of the kernels, if it is set, is known by its name."""
  if (name := facts.config.model.kernel_init) is not None:
    registry.find('kernel_init', name, models.KERNEL_INITS)


def owner_has_field(facts: Facts, *, section: str, field: str) -> str | None:
  """A field that is set is one that the owner of its section has."""
  values = facts.config[section]
  known = OWNERS[section](values.name)
  if values[field] is None or field in known:
    return None
  is_neutral = values[field] == models.UNDECLARED.get(field)
  if section == 'model' and is_neutral:
    return None
  paths = fields.of_section(section)
  usable = sorted({p.split('.')[1] for p in paths} & {*known}) or ['none']
  return (
    f'{section} {values.name!r} has no such field; of those of '
    f'config.{section} it has: {", ".join(usable)}'
  )


def is_complete(facts: Facts, *, section: str) -> None:
  """An owner has the arguments that it cannot do without."""
  values = facts.config[section]
  table, given = TABLES[section]
  found = dict.fromkeys(given) | programs.all_fields(values)
  missing = registry.missing_arguments(
    registry.find(section, values.name, table), found
  )
  if missing:
    free = [f for f in missing if f'{section}.{f}' not in fields.FIELDS]
    way = f'; set config.{section}.options.{free[0]}' if free else ''
    raise errors.ConfigError(
      f'config.{section}: {section} {values.name!r} needs '
      f'{" and ".join(missing)}{way}'
    )


def options_are_arguments(facts: Facts, *, section: str) -> None:
  """Each option is an argument of the owner, and has its type."""
  values = facts.config[section]
  table, given = TABLES[section]
  own = own_code.parameters(registry.find(section, values.name, table))
  known = {name: p for name, p in own.items() if name not in given}
  for name, value in programs.options(values).items():
    path = f'config.{section}.options.{name}'
    if name not in known:
      free = [n for n in known if f'{section}.{n}' not in fields.FIELDS]
      why = registry.unknown('argument', name, free or ['(none)'])
      raise errors.ConfigError(f'{path}: {section} {values.name!r}: {why}')
    if why := own_code.option_problem(known, name, value):
      raise errors.ConfigError(rules.refused(path[7:], value, why))


def of_section(section: str) -> list[Relation]:
  """The relations of a section that has an owner: its name, and its fields."""
  name = f'{section}.name'
  known = functools.partial(known_owner, section=section)
  return [Relation((name,), known)] + [
    Relation(
      (path, name),
      functools.partial(
        owner_has_field, section=section, field=path.split('.')[1]
      ),
    )
    for path in fields.of_section(section)
    if path != name
  ]


RELATIONS: tuple[Relation, ...] = (
  Relation(('data.name',), known_data_set),
  Relation(('model.activation',), known_activation),
  Relation(('model.kernel_init',), known_kernel_init),
  *(relation for section in OWNERS for relation in of_section(section)),
  *(
    Relation(
      (f'{section}.options', f'{section}.name'),
      functools.partial(options_are_arguments, section=section),
    )
    for section in OWNERS
  ),
  *(
    Relation(
      # The warm-up is in front of any schedule.
      (
        f'{section}.name',
        f'{section}.options',
        *(p for p in fields.of_section(section) if 'warmup' not in p),
      ),
      functools.partial(is_complete, section=section),
    )
    for section in OWNERS
  ),
)
