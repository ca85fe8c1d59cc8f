"""A rule between fields of a config."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from normlab import errors
from normlab.validation import rules
from normlab.validation.facts import Facts


class Relation(NamedTuple):
  """A condition on the values of several fields.

  It is asked only where nothing is wrong with the fields that it reads, so that
  a bad value is one line of an error and not five.

  Attributes:
    fields: the paths that it reads, a section standing for all of its fields;
      the first one is to blame.
    problem: says why the value of the first field is not allowed, as 'must be
      1'; None if it is. It may raise ConfigError instead.
  """

  fields: tuple[str, ...]
  problem: Callable[[Facts], str | None]

  def ask(self, facts: Facts) -> str | None:
    """What is wrong, in one line that names the field; None if nothing is."""
    field = self.fields[0]
    try:
      why = self.problem(facts)
    except errors.ConfigError as error:
      line = errors.one_line(str(error))
      named = line.startswith('config.')
      return line if named else f'config.{field}: {line}'
    return why and rules.refused(field, facts.value(field), why)


def ask_all(
  relations: Iterable[Relation], facts: Facts, found: Mapping[str, str]
) -> dict[str, str]:
  """Adds what relations find to what was found before them.

  Args:
    relations: in an order where what one finds spares others.
    found: what is wrong already, path to line.
  """
  found = dict(found)
  for relation in relations:
    if not any(is_bad(field, found) for field in relation.fields):
      if line := relation.ask(facts):
        found[relation.fields[0]] = line
  return found


def is_bad(path: str, found: Mapping[str, str]) -> bool:
  """Whether something is wrong with a field, its section, or fields in it."""
  return any(
    f'{path}.'.startswith(f'{other}.') or other.startswith(f'{path}.')
    for other in found
  )
