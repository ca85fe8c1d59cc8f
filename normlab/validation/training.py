"""Relations between the numbers of training: steps, batches, devices."""

from collections.abc import Iterable

from normlab.runtime import devices
from normlab.validation import rules
from normlab.validation.facts import Facts
from normlab.validation.relation import Relation


def peak_is_a_number(facts: Facts) -> str | None:
  """Two float32 numbers have a product that is one."""
  optimizer = facts.config.optimizer
  rate, factor = optimizer.learning_rate, optimizer.learning_rate_multiplier
  if rules.POSITIVE.holds(rate * factor):
    return None
  return (
    f'config.optimizer.learning_rate={rate!r} times '
    f'config.optimizer.learning_rate_multiplier={factor!r} is not allowed: '
    f'must be {rules.POSITIVE.allowed}'
  )


def warmup_ends(facts: Facts) -> str | None:
  """The warm-up is not longer than the run."""
  steps, total = facts.config.schedule.warmup_steps, facts.config.total_steps
  if steps <= total:
    return None
  return rules.refused(
    'schedule.warmup_steps', steps, f'from 0 to {total}, config.total_steps'
  )


def boundaries_are_reached(facts: Facts) -> str | None:
  """The learning rate drops within the run, at each boundary."""
  schedule = facts.config.schedule
  after = facts.config.total_steps - schedule.warmup_steps
  if schedule.boundaries is None or schedule.boundaries[-1] < after:
    return None
  return rules.refused(
    'schedule.boundaries',
    schedule.boundaries,
    f'below {after}, the steps of the run after its warm-up',
  )


def checkpoint_comes(facts: Facts) -> str | None:
  """The period of the checkpoints is not longer than the run."""
  every, total = facts.config.checkpoint_every, facts.config.total_steps
  if every is None or every <= total:
    return None
  return rules.refused(
    'checkpoint_every', every, f'from 1 to {total}, config.total_steps, or None'
  )


def microbatches_divide(facts: Facts) -> str | None:
  """The parts of a batch are equally large."""
  parts, size = facts.config.microbatches, facts.config.batch_size
  if size % parts == 0:
    return None
  return rules.refused(
    'microbatches', parts, f'a divisor of config.batch_size={size}'
  )


def devices_are_there(facts: Facts) -> None:
  """There are as many devices as are asked for."""
  if facts.config.num_devices is not None:
    devices.count(facts.config)


def devices_divide(facts: Facts) -> str | None:
  """Devices have equally many examples of a microbatch."""
  number = facts.config.num_devices
  if number is None or facts.microbatch % number == 0:
    return None
  allowed = f'a divisor of {examples(facts, ["microbatches"])}'
  return rules.refused('num_devices', number, allowed)


def ghosts_divide(facts: Facts) -> str | None:
  """A ghost batch lies within a device: statistics cross no devices.

  Where the number of devices is left open, it is chosen when the run starts.
  """
  size = facts.config.norm.ghost_batch_size
  each = facts.microbatch // (facts.config.num_devices or 1)
  if size is None or each % size == 0:
    return None
  allowed = f'a divisor of {examples(facts, ["microbatches", "num_devices"])}'
  return rules.refused('norm.ghost_batch_size', size, allowed)


def examples(facts: Facts, parts: Iterable[str]) -> str:
  """How many examples a part of a batch has, and why, in words.

  Args:
    parts: the fields that the batch is divided by.
  """
  config = facts.config
  number, why = config.batch_size, f'config.batch_size={config.batch_size}'
  for field in parts:
    if (config[field] or 1) > 1:
      number //= config[field]
      why += f' / config.{field}={config[field]}'
  return f'the {number} examples of {why}'


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
  Relation(('microbatches', 'batch_size'), microbatches_divide),
  Relation(('num_devices',), devices_are_there),
  Relation(('num_devices', 'microbatches', 'batch_size'), devices_divide),
  Relation(
    (
      'norm.ghost_batch_size',
      'num_devices',
      'microbatches',
      'batch_size',
    ),
    ghosts_divide,
  ),
)
