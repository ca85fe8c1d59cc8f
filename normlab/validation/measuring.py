"""Relations of the probes: what is to be measured must be there."""

import functools

from normlab import probes, registry
from normlab.probes import forward_order
from normlab.program import periods
from normlab.validation.facts import Facts
from normlab.validation.inputs import SHAPES
from normlab.validation.relation import Relation


def probes_are_known(facts: Facts) -> None:
  """Each probe is known by its name."""
  for name in facts.config.probes.names or ():
    registry.find('probe', name, probes.PROBES)


def is_read(facts: Facts, *, field: str) -> str | None:
  """A field that is set is one that a probe of the run reads."""
  section = facts.config.probes
  names = section.names or ()
  readers = probes.READERS.get(field, names)
  if section[field] is None or {*readers} & {*names}:
    return None
  if field not in probes.READERS:
    return 'config.probes.names chooses no probe; must be None'
  return (
    f'config.probes.names lacks {" and ".join(map(repr, readers))}, which '
    'reads it; must be None'
  )


def no_call_is_split(facts: Facts) -> str | None:
  """Training makes the same compiled calls with and without probes.

  XLA rounds a step on its own otherwise than one in a loop.
  """
  config = facts.config
  every = config.probes.every or periods.MEASURE_EVERY
  if (
    not config.probes.names
    or periods.steps_per_call(config) == 1
    or every % config.log_every == 0
  ):
    return None
  return (
    f'with several steps per call it must be a multiple of {config.log_every}, '
    'config.log_every'
  )


def there_is_something_to_measure(facts: Facts) -> str | None:
  """Each probe finds in the network what it measures."""
  for name in facts.config.probes.names or ():
    problem = probes.check(name, facts.model, facts.variables)
    if problem is not None:
      return f'{problem}; leave {name!r} out'
  return None


def layers_are_there(facts: Facts) -> None:
  """Each layer that is to be measured is one of the network."""
  shape = facts.description.image_shape
  for name in facts.config.probes.layers or ():
    known = forward_order.layers(facts.model, shape)
    registry.lookup('layer', name, {layer.name: layer for layer in known})


RELATIONS: tuple[Relation, ...] = (
  Relation(('probes.names',), probes_are_known),
  *(
    Relation(
      (f'probes.{field}', 'probes.names'),
      functools.partial(is_read, field=field),
    )
    for field in ('every', *probes.READERS)
  ),
  Relation(
    (
      *('probes.every', 'probes.names', 'log_every', 'steps_per_call'),
      'data.name',
    ),
    no_call_is_split,
  ),
  Relation(('probes.names', *SHAPES), there_is_something_to_measure),
  Relation(('probes.layers', 'probes.names', *SHAPES), layers_are_there),
)
