"""Checks a config before anything compiles or is written.

What the parts check themselves (names, fields, shapes) is asked of them here;
what only this file knows are the ranges of the numbers and the rules between
fields. Every error is one line: field, value, what is allowed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from normlab import data, models, names, norms, optim, program, records

ConfigError = names.ConfigError


class Rule(NamedTuple):
  """What the value of a field must be.

  Attributes:
    holds: whether a value is allowed.
    allowed: what is allowed, in words.
  """

  holds: Callable[[Any], bool]
  allowed: str


# The numbers are float32 where they are used.
LARGEST, SMALLEST = (
  float(getattr(jnp.finfo('float32'), n)) for n in ('max', 'tiny')
)


def _finite(value: float) -> bool:
  return not isinstance(value, bool) and abs(value) <= LARGEST


AT_LEAST_ONE = Rule(lambda v: v >= 1, 'a whole number of at least 1')
NOT_NEGATIVE_INT = Rule(lambda v: v >= 0, 'a whole number of at least 0')
POSITIVE = Rule(
  lambda v: _finite(v) and v >= SMALLEST, 'a finite number above 0, in float32'
)
NOT_NEGATIVE = Rule(
  lambda v: _finite(v) and v >= 0, 'a finite number of at least 0, in float32'
)
SHARE = Rule(lambda v: 0 <= v < 1, 'a number from 0 up to, not including, 1')
MOMENTUM = Rule(lambda v: 0 <= v <= 1, 'a number from 0 to 1')
WIDTHS = Rule(
  lambda v: len(v) > 0 and all(isinstance(w, int) and w >= 1 for w in v),
  'whole numbers of at least 1, one a layer, as (32, 64)',
)
AXES = Rule(
  lambda v: len(v) > 0 and all(isinstance(axis, int) for axis in v),
  'whole numbers, as (1, 2, 3)',
)
BOUNDARIES = Rule(
  lambda v: (
    len(v) > 0
    and all(isinstance(b, int) and b >= 1 for b in v)
    and list(v) == sorted(set(v))
  ),
  'rising whole numbers of at least 1, as (400, 800)',
)

# A field that is None is left to the default of its owner, unless the config
# in `configs/base.py` sets it.
RULES: dict[str, Rule] = {
  'seed': Rule(lambda v: 0 <= v < 2**32, 'a whole number from 0 to 2**32 - 1'),
  'batch_size': AT_LEAST_ONE,
  'total_steps': AT_LEAST_ONE,
  'eval_every': AT_LEAST_ONE,
  'eval_batch_size': AT_LEAST_ONE,
  'log_every': AT_LEAST_ONE,
  'steps_per_call': AT_LEAST_ONE,
  'data.random_crop': NOT_NEGATIVE_INT,
  'model.dropout': SHARE,
  'model.widths': WIDTHS,
  'model.width': POSITIVE,
  'norm.epsilon': NOT_NEGATIVE,
  'norm.momentum': MOMENTUM,
  'norm.num_groups': AT_LEAST_ONE,
  'norm.group_size': AT_LEAST_ONE,
  'norm.reduction_axes': AXES,
  'norm.r_max': Rule(lambda v: _finite(v) and v >= 1, 'a number from 1'),
  'norm.d_max': NOT_NEGATIVE,
  'norm.schedule_scale': POSITIVE,
  'norm.ghost_batch_size': AT_LEAST_ONE,
  'norm.p': Rule(lambda v: v >= 1, 'a number from 1, or inf'),
  'norm.mean_range': NOT_NEGATIVE,
  'norm.max_std': Rule(lambda v: _finite(v) and v >= 1, 'a number from 1'),
  'norm.mean_jitter': NOT_NEGATIVE,
  'norm.std_jitter': NOT_NEGATIVE,
  'norm.alpha_init': POSITIVE,
  'norm.n_steps': AT_LEAST_ONE,
  'optimizer.learning_rate': POSITIVE,
  'optimizer.learning_rate_multiplier': POSITIVE,
  'optimizer.weight_decay': NOT_NEGATIVE,
  'optimizer.clip_norm': POSITIVE,
  'optimizer.momentum': SHARE,
  'optimizer.decay': SHARE,
  'optimizer.beta1': SHARE,
  'optimizer.beta2': SHARE,
  'optimizer.epsilon': POSITIVE,
  'schedule.warmup_steps': NOT_NEGATIVE_INT,
  'schedule.decay_rate': Rule(
    lambda v: _finite(v) and 0 < v <= 1, 'a number above 0, up to 1'
  ),
  'schedule.decay_steps': AT_LEAST_ONE,
  'schedule.boundaries': BOUNDARIES,
  'schedule.final_fraction': MOMENTUM,
}

# Fields that `None` switches off or leaves to a default; all others need a
# value (ml_collections takes None for any field).
OPTIONAL_SECTIONS = ('norm', 'model', 'optimizer', 'schedule')
OPTIONAL = ('steps_per_call', 'data.data_dir')
REQUIRED = (
  'label',
  'data.name',
  'data.random_flip',
  'norm.name',
  'model.name',
  'model.activation',
  'model.dropout',
  'optimizer.name',
  'optimizer.learning_rate',
  'optimizer.learning_rate_multiplier',
  'optimizer.weight_decay',
  'schedule.name',
  'schedule.warmup_steps',
)


def check(config: ml_collections.ConfigDict) -> data.Description:
  """Refuses a config that cannot be trained.

  Args:
    config: as in `configs/base.py`.

  Returns:
    The description of its data set.

  Raises:
    ConfigError: one line for a person.
  """
  check_complete(config)
  check_values(config)
  check_names(config)
  description = data.describe(config.data.name, config.data.data_dir)
  check_batch(config, description)
  check_shapes(config, description)
  return description


def check_complete(config: ml_collections.ConfigDict) -> None:
  """All fields there, as in `configs/base.py`; a new field is for its reader."""
  if not isinstance(config, ml_collections.ConfigDict):
    raise ConfigError(
      f'the config is a {type(config).__name__}; must be a ConfigDict that '
      'starts from configs/base.py'
    )
  present = records.flatten(config)
  for field in (*RULES, *REQUIRED, *OPTIONAL):
    if field not in present:
      raise ConfigError(
        f'the config has no field {field!r}; start from configs/base.py'
      )


def check_values(config: ml_collections.ConfigDict) -> None:
  """Every number in its range, and nothing missing."""
  for field, value in records.flatten(config).items():
    section = field.split('.')[0] if '.' in field else None
    optional = field in OPTIONAL or (
      section in OPTIONAL_SECTIONS and field not in REQUIRED
    )
    if value is None:
      if not optional:
        raise ConfigError(f'config.{field}=None: a value is needed')
      continue
    rule = RULES.get(field)
    if rule is not None and not rule.holds(value):
      raise ConfigError(
        f'config.{field}={value!r} is not allowed: must be {rule.allowed}'
      )
  optimizer = config.optimizer
  peak = optimizer.learning_rate * optimizer.learning_rate_multiplier
  if not POSITIVE.holds(peak):
    raise ConfigError(
      f'config.optimizer.learning_rate={optimizer.learning_rate!r} times '
      f'config.optimizer.learning_rate_multiplier='
      f'{optimizer.learning_rate_multiplier!r} is not allowed: must be '
      f'{POSITIVE.allowed}'
    )


def check_names(config: ml_collections.ConfigDict) -> None:
  """Every name known, and no field set that its owner does not have."""
  owners = {
    'norm': norms.fields_of(config.norm.name),
    'model': models.fields_of(config.model.name),
    'optimizer': optim.fields_of(config.optimizer.name),
    'schedule': optim.schedule_fields_of(config.schedule.name),
  }
  names.lookup('activation', config.model.activation, models.ACTIVATIONS)
  for section, known in owners.items():
    name, fields = config[section].name, program.set_fields(config[section])
    for field, value in fields.items():
      if field not in known:
        usable = [f for f in config[section] if f in known] or ['none']
        raise ConfigError(
          f'config.{section}.{field}={value!r} is not allowed: {section} '
          f'{name!r} has no such field; of those of config.{section} it has: '
          f'{", ".join(usable)}'
        )
  try:
    program.build_schedule(config)
  except ConfigError as error:  # A field is missing.
    raise ConfigError(f'config.schedule: {error}') from error


def check_batch(
  config: ml_collections.ConfigDict, description: data.Description
) -> None:
  """A batch is part of the training split."""
  examples = description.sizes['train']
  if config.batch_size > examples:
    raise ConfigError(
      f'config.batch_size={config.batch_size} is not allowed: the training '
      f'split of {config.data.name!r} has {examples:,} examples; must be from '
      f'1 to {examples}'
    )
  size = min(description.image_shape[:2])
  if config.data.random_crop > size:
    raise ConfigError(
      f'config.data.random_crop={config.data.random_crop} is not allowed: the '
      f'images of {config.data.name!r} are {size} pixels wide; must be from 0 '
      f'to {size}'
    )


def check_shapes(
  config: ml_collections.ConfigDict, description: data.Description
) -> None:
  """The model takes a batch: shapes only, nothing is computed or compiled."""
  model = program.build(config, description.num_classes).model
  images = jax.ShapeDtypeStruct(
    (config.batch_size, *description.image_shape), jnp.float32
  )

  def init(key: jax.Array, images: jax.Array) -> Any:
    return model.init({'params': key, 'dropout': key}, images, train=True)

  try:
    jax.eval_shape(init, jax.random.key(0), images)
  except (ValueError, TypeError) as error:
    first_line = str(error).strip().splitlines()[0]
    raise ConfigError(
      f'config.model.name={config.model.name!r} with config.norm.name='
      f'{config.norm.name!r}: {first_line}'
    ) from error
