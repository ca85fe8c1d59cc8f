"""Stackable runs: the fields in which the members of a stack may differ."""

import json
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections

from normlab import data, own_code, records
from normlab.sweeps.runners.interface import Runs
from normlab.sweeps.runners.processes import dealt
from normlab.validation import fields

# Numbers that are computed outside the compiled step, or are arguments of it,
# as all numbers of the optimizer are.
OUTSIDE = (
  'seed',
  'ema_decay',
  'label_smoothing',
  *(f for f in fields.of_section('optimizer') if f != 'optimizer.name'),
)
# The learning rate follows from these: schedules may differ in a stack.
SCHEDULE = tuple(fields.of_section('schedule'))
# Numbers that are constants of the program of a lone run, and become arguments
# where the members of a stack differ in them.
ARGUMENTS = (
  'model.dropout',
  'norm.epsilon',
  'norm.momentum',
  'norm.r_max',
  'norm.d_max',
  'norm.schedule_scale',
  'norm.mean_range',
  'norm.max_std',
  'norm.mean_jitter',
  'norm.std_jitter',
)
# Of the initial parameters alone, which each member makes with its own program.
INITIAL = 'norm.alpha_init'

STACKABLE = (*OUTSIDE, *SCHEDULE, *ARGUMENTS, INITIAL)
# Fields that do nothing in a run that can be stacked.
IGNORED = ('label', 'code_dir', 'data.workers')

Config = ml_collections.ConfigDict


def groups(runs: Runs, *, most: int | None = None) -> list[Runs]:
  """The runs in groups that can each be one program, by their first runs.

  Args:
    most: runs in a group; None is any number.
  """
  found: dict[Any, dict[str, Config]] = {}
  for path, config in runs.items():
    key = kind(config) if can_be_stacked(config) else path
    found.setdefault(key, {})[path] = config
  return [part for group in found.values() for part in even_parts(group, most)]


def even_parts(runs: Runs, most: int | None) -> list[Runs]:
  """The runs in the fewest even parts of at most `most`."""
  number = -(-len(runs) // (most or len(runs)))
  return [dict(part) for part in dealt(list(runs.items()), number)]


def can_be_stacked(config: Config) -> bool:
  """Whether a run can be stacked at all, whatever the others are."""
  return (
    not data.is_streamed(config.data.name)
    and config.num_devices in (None, 1)
    and not config.profile
    and not config.debug_nans
    and not config.probes.names
    and jax.process_count() == 1
  )


def kind(config: Config) -> str:
  """Equal for runs whose difference is in numbers that may be stacked."""
  flat = records.flatten(records.resolved(config))
  return json.dumps(
    {
      # Of a number that may differ, whether there is one: None is another
      # program, or a default that the program's own code has.
      field: value is None if may_differ(field, config) else value
      for field, value in flat.items()
      if field not in IGNORED and field not in SCHEDULE
    }
  )


def may_differ(field: str, config: Config) -> bool:
  """Whether members of a stack may differ in a number.

  Own code may need a number where an argument of the program is an array.
  """
  section = field.partition('.')[0]
  is_own = section in ('model', 'norm') and own_code.is_import_path(
    config[section].name
  )
  return field in STACKABLE and not is_own


def arguments(configs: Sequence[Config]) -> tuple[str, ...]:
  """The constants of the members' programs that must be arguments of theirs."""
  flat = [records.flatten(config) for config in configs]
  return tuple(p for p in ARGUMENTS if len({values[p] for values in flat}) > 1)
