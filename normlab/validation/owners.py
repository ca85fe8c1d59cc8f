"""Rules of names: each must be known, and must have the fields that are set."""

import functools
from collections.abc import Callable

from normlab import errors, models, norms, registry
from normlab.data.sets import sources
from normlab.program import optim
from normlab.validation import fields
from normlab.validation.facts import Facts
from normlab.validation.relation import Relation

# Section to the fields of an owner, by its name; it refuses an unknown one.
OWNERS: dict[str, Callable[[str], list[str]]] = {
  'model': models.fields_of,
  'norm': norms.fields_of,
  'optimizer': optim.fields_of,
  'schedule': optim.schedule_fields_of,
}
# Arguments of a schedule that follow from the length of the run.
DERIVED = {'decay_steps': 1}
# Arguments of some schedule; the warm-up is in front of any.
SCHEDULE_FIELDS = [
  path.split('.')[1]
  for path in fields.of_section('schedule')
  if path not in ('schedule.name', 'schedule.warmup_steps')
]


def known_owner(facts: Facts, *, section: str) -> None:
  """The owner of a section is known by its name."""
  OWNERS[section](facts.config[section].name)


def known_data_set(facts: Facts) -> None:
  """The data set is known by its name."""
  sources.check_name(facts.config.data.name)


def known_activation(facts: Facts) -> None:
  """The activation is known by its name."""
  registry.lookup(
    'activation', facts.config.model.activation, models.ACTIVATIONS
  )


def known_kernel_init(facts: Facts) -> None:
  """The initializer of the kernels, if it is set, is known by its name."""
  if (name := facts.config.model.kernel_init) is not None:
    registry.lookup('kernel_init', name, models.KERNEL_INITS)


def owner_has_field(facts: Facts, *, section: str, field: str) -> str | None:
  """A field that is set is one that the owner of its section has."""
  values = facts.config[section]
  known = OWNERS[section](values.name)
  if values[field] is None or field in known:
    return None
  paths = fields.of_section(section)
  usable = sorted({p.split('.')[1] for p in paths} & {*known}) or ['none']
  return (
    f'{section} {values.name!r} has no such field; of those of '
    f'config.{section} it has: {", ".join(usable)}'
  )


def schedule_is_complete(facts: Facts) -> None:
  """A schedule has the fields that it cannot do without."""
  schedule = facts.config.schedule
  given = {f: schedule[f] for f in SCHEDULE_FIELDS if schedule[f] is not None}
  missing = registry.missing_arguments(
    optim.SCHEDULES[schedule.name], DERIVED | given
  )
  if missing:
    raise errors.ConfigError(
      f'config.schedule: schedule {schedule.name!r} needs '
      f'{" and ".join(missing)}'
    )


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
  Relation(
    ('schedule.name', *(f'schedule.{field}' for field in SCHEDULE_FIELDS)),
    schedule_is_complete,
  ),
)
