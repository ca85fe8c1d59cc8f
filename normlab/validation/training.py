"""Relations between the numbers of training: steps, batches, devices."""

import functools
from collections.abc import Sequence

from normlab import errors
from normlab.runtime import devices
from normlab.validation import rules
from normlab.validation.facts import Facts
from normlab.validation.relation import Relation


def peak_is_a_number(facts: Facts) -> None:
  """Two float32 numbers have a product that is one."""
  optimizer = facts.config.optimizer
  rate, factor = optimizer.learning_rate, optimizer.learning_rate_multiplier
  if not rules.POSITIVE.holds(rate * factor):
    raise errors.ConfigError(
      f'config.optimizer.learning_rate={rate!r} times '
      f'config.optimizer.learning_rate_multiplier={factor!r} is not allowed: '
      f'must be {rules.POSITIVE.allowed}'
    )


def warmup_ends(facts: Facts) -> str | None:
  """The warm-up is not longer than the run."""
  total = facts.config.total_steps
  within = facts.config.schedule.warmup_steps <= total
  return None if within else f'must be from 0 to {total}, config.total_steps'


def boundaries_are_reached(facts: Facts) -> str | None:
  """The learning rate drops within the run, at each boundary."""
  schedule = facts.config.schedule
  after = facts.config.total_steps - schedule.warmup_steps
  if schedule.boundaries is None or schedule.boundaries[-1] < after:
    return None
  return f'must be below {after}, the steps of the run after its warm-up'


def checkpoint_comes(facts: Facts) -> str | None:
  """The period of the checkpoints is not longer than the run."""
  total = facts.config.total_steps
  if (facts.config.checkpoint_every or 1) <= total:
    return None
  return f'must be from 1 to {total}, config.total_steps, or None'


def devices_are_there(facts: Facts) -> None:
  """There are as many devices as are asked for."""
  if facts.config.num_devices is not None:
    devices.count(facts.config)


def divides_its_part(
  facts: Facts, *, field: str, parts: Sequence[str]
) -> str | None:
  """A field, if it is set, divides a part of the batch.

  Args:
    parts: the fields that the batch is divided by.
  """
  number, value = facts.config.batch_size, facts.value(field)
  why = f'config.batch_size={number}'
  for part in parts:
    if (count := facts.value(part) or 1) > 1:
      number //= count
      why += f' / config.{part}={count}'
  if number % (value or 1) == 0:
    return None
  return f'must be a divisor of the {number} examples of {why}'


# Parts of a batch are equally large. A ghost batch lies within a device:
# statistics cross no devices, whose number, if it is left open, is chosen when
# the run starts.
DIVISORS = (
  ('microbatches',),
  ('num_devices', 'microbatches'),
  ('norm.ghost_batch_size', 'microbatches', 'num_devices'),
)
RELATIONS: tuple[Relation, ...] = (
  Relation(
    ('optimizer.learning_rate', 'optimizer.learning_rate_multiplier'),
    peak_is_a_number,
  ),
  Relation(('schedule.warmup_steps', 'total_steps'), warmup_ends),
  Relation(
    ('schedule.boundaries', 'schedule.warmup_steps', 'total_steps'),
    boundaries_are_reached,
  ),
  Relation(('checkpoint_every', 'total_steps'), checkpoint_comes),
  Relation(('num_devices',), devices_are_there),
  *(
    Relation(
      (field, *parts, 'batch_size'),
      functools.partial(divides_its_part, field=field, parts=parts),
    )
    for field, *parts in DIVISORS
  ),
)
