"""Every field of a config with the rule for its value, in the order of `base`.

Errors list their problems in this order. Written beside `configs/base.py`, and
not derived from it: base has the defaults and is no part of the package, and a
config that is checked can come from JSON, where None has no type. A test holds
both lists together.
"""

from typing import Any

import ml_collections

from normlab import errors, registry
from normlab.validation import rules
from normlab.validation.rules import Rule, optional

FIELDS: dict[str, Rule] = {
  'label': rules.TEXT,
  'code_dir': optional(rules.TEXT),
  'seed': rules.SEED,
  'batch_size': rules.AT_LEAST_ONE,
  'total_steps': rules.AT_LEAST_ONE,
  'eval_every': rules.AT_LEAST_ONE,
  'eval_batch_size': rules.AT_LEAST_ONE,
  'eval_statistics': rules.STATISTICS_NAMES,
  'recalibration_examples': rules.AT_LEAST_ONE,
  'ema_decay': optional(rules.SHARE),
  'label_smoothing': optional(rules.SHARE),
  'metrics': optional(rules.NAMES),
  'log_every': rules.AT_LEAST_ONE,
  'steps_per_call': optional(rules.AT_LEAST_ONE),
  'checkpoint_every': optional(rules.AT_LEAST_ONE),
  'keep_checkpoints': rules.AT_LEAST_ONE,
  'num_devices': optional(rules.AT_LEAST_ONE),
  'microbatches': rules.AT_LEAST_ONE,
  'log_layer_norms': rules.BOOL,
  'debug_nans': rules.BOOL,
  'profile': rules.BOOL,
  'data.name': rules.TEXT,
  'data.data_dir': optional(rules.TEXT),
  'data.random_crop': rules.NOT_NEGATIVE_INT,
  'data.random_flip': rules.BOOL,
  'data.augmentation': optional(rules.TEXT),
  'data.image_size': optional(rules.AT_LEAST_ONE),
  'data.min_crop_area': optional(rules.POSITIVE_SHARE),
  'data.workers': optional(rules.NOT_NEGATIVE_INT),
  'model.name': rules.TEXT,
  'model.dtype': rules.DTYPE,
  'model.activation': rules.TEXT,
  'model.kernel_init': optional(rules.TEXT),
  'model.dropout': rules.SHARE,
  'model.widths': optional(rules.WIDTHS),
  'model.width': optional(rules.WIDTH),
  'model.small_images': optional(rules.BOOL),
  'norm.name': rules.TEXT,
  'norm.epsilon': optional(rules.NOT_NEGATIVE),
  'norm.use_scale': optional(rules.BOOL),
  'norm.use_bias': optional(rules.BOOL),
  'norm.momentum': optional(rules.MOMENTUM),
  'norm.debias': optional(rules.BOOL),
  'norm.ghost_batch_size': optional(rules.AT_LEAST_ONE),
  'norm.unbiased': optional(rules.BOOL),
  'norm.num_groups': optional(rules.AT_LEAST_ONE),
  'norm.group_size': optional(rules.AT_LEAST_ONE),
  'norm.reduction_axes': optional(rules.AXES),
  'norm.r_max': optional(rules.FROM_ONE),
  'norm.d_max': optional(rules.NOT_NEGATIVE),
  'norm.schedule_scale': optional(rules.POSITIVE),
  'norm.p': optional(rules.EXPONENT),
  'norm.convention': optional(rules.TEXT),
  'norm.mean_range': optional(rules.NOT_NEGATIVE),
  'norm.max_std': optional(rules.FROM_ONE),
  'norm.mean_jitter': optional(rules.NOT_NEGATIVE),
  'norm.std_jitter': optional(rules.NOT_NEGATIVE),
  'norm.use_batch_norm': optional(rules.BOOL),
  'norm.use_tlu': optional(rules.BOOL),
  'norm.learn_epsilon': optional(rules.BOOL),
  'norm.alpha_init': optional(rules.POSITIVE),
  'norm.mean_only_batch_norm': optional(rules.BOOL),
  'norm.n_steps': optional(rules.ITERATIONS),
  'norm.scaled': optional(rules.BOOL),
  'optimizer.name': rules.TEXT,
  'optimizer.learning_rate': rules.POSITIVE,
  'optimizer.learning_rate_multiplier': rules.POSITIVE,
  'optimizer.weight_decay': rules.NOT_NEGATIVE,
  'optimizer.clip_norm': optional(rules.POSITIVE),
  'optimizer.momentum': optional(rules.SHARE),
  'optimizer.decay': optional(rules.SHARE),
  'optimizer.beta1': optional(rules.SHARE),
  'optimizer.beta2': optional(rules.SHARE),
  'optimizer.epsilon': optional(rules.POSITIVE),
  'schedule.name': rules.TEXT,
  'schedule.warmup_steps': rules.NOT_NEGATIVE_INT,
  'schedule.decay_rate': optional(rules.POSITIVE_SHARE),
  'schedule.decay_steps': optional(rules.AT_LEAST_ONE),
  'schedule.boundaries': optional(rules.BOUNDARIES),
  'schedule.final_fraction': optional(rules.MOMENTUM),
  'probes.names': optional(rules.NAMES),
  'probes.every': optional(rules.AT_LEAST_ONE),
  'probes.layers': optional(rules.NAMES),
  'probes.step_lengths': optional(rules.STEP_LENGTHS),
}
SECTIONS = tuple(
  dict.fromkeys(field.split('.')[0] for field in FIELDS if '.' in field)
)

# Sections within a section: arguments of its owner that have no field.
OPTIONS = tuple(
  f'{section}.options' for section in ('model', 'norm', 'optimizer', 'schedule')
)


def of_section(section: str) -> list[str]:
  """The paths of the fields of a section."""
  return [field for field in FIELDS if field.startswith(f'{section}.')]


def unknown(path: Any) -> str:
  """The line of an unknown field: the nearest three, and where all stand."""
  listed = 'configs/base.py lists all'
  if path in SECTIONS:
    return (
      f'config.{path} is a section, not a field; did you mean '
      f"'{path}.name'? {listed}"
    )
  near = registry.nearest(path, (*FIELDS, *SECTIONS), most=3)
  hint = f'did you mean {" or ".join(map(repr, near))}? ' if near else ''
  return f'unknown config field {errors.shown(path)}; {hint}{listed}'


def missing(paths: list[str]) -> str:
  """The line of a config that lacks these fields or sections."""
  shown = ', '.join(map(repr, paths[:3]))
  more = f' and {len(paths) - 3} more' if len(paths) > 3 else ''
  return f'the config lacks {shown}{more}; it must start from configs/base.py'


def problems(config: ml_collections.ConfigDict) -> dict[str, str]:
  """The problems of single fields, by the path of the field or its section.

  Returns:
    Path to line; a section that is wrong stands for all of its fields.
  """
  absent = [s for s in SECTIONS if s not in config]
  here = [s for s in SECTIONS if s in config]
  found = {s: line for s in here if (line := section_problem(config, s))}
  for field, rule in FIELDS.items():
    section, _, name = field.rpartition('.')
    if section in found or section in absent:
      continue
    owner = config[section] if section else config
    if name not in owner:
      absent.append(field)
    elif line := field_problem(owner, field, name, rule):
      found[field] = line
  for section in ('', *(s for s in here if s not in found)):
    found |= strangers(config[section] if section else config, section)
    if f'{section}.options' in OPTIONS:
      found |= options_problems(config[section], section)
  return found | dict.fromkeys(absent, missing(absent))


def section_problem(
  config: ml_collections.ConfigDict, section: str
) -> str | None:
  """Why what has the name of a section is none; None where it is one."""
  value, line = read(config, section, section)
  if line or isinstance(value, ml_collections.ConfigDict):
    return line
  why = 'must be a section, as in configs/base.py'
  return rules.refused(section, value, why)


def field_problem(
  owner: ml_collections.ConfigDict, field: str, name: str, rule: Rule
) -> str | None:
  """Why a field of the config, or of a section, cannot be used; or None."""
  value, line = read(owner, field, name)
  if isinstance(value, ml_collections.ConfigDict):
    return f'config.{field} is a section; must be {rule.allowed}'
  return line or rule.problem(field, value)


def read(
  owner: ml_collections.ConfigDict, field: str, name: str
) -> tuple[Any, str | None]:
  """The value of a field, and the line that says why it has none."""
  try:
    return owner[name], None
  except Exception as error:  # A reference computes, and can raise anything.
    return None, f'config.{field} has no value: {errors.shown(error)}'


def strangers(owner: ml_collections.ConfigDict, section: str) -> dict[str, str]:
  """The problems of fields that `base` does not have: path to line.

  Args:
    section: the name of that section; '' for the config.
  """
  prefix = f'{section}.' if section else ''
  try:
    given = [f'{prefix}{name}' for name in owner]
  except TypeError:  # They are sorted, and 1 does not compare with 'name'.
    whole = f'config.{section}' if section else 'the config'
    return {section: f'{whole} has a field whose name is not a text'}
  known = {*of_section(section), *OPTIONS} if section else {*FIELDS, *SECTIONS}
  return {field: unknown(field) for field in given if field not in known}


def options_problems(
  owner: ml_collections.ConfigDict, section: str
) -> dict[str, str]:
  """The problems of the options of a section, which a record must hold."""
  path = f'{section}.options'
  if 'options' not in owner:
    return {path: missing([path])}
  options, line = read(owner, path, 'options')
  if line or not isinstance(options, ml_collections.ConfigDict):
    why = "must be a section, as {'depth': 3}"
    return {path: line or rules.refused(path, options, why)}
  names = list(options.to_dict(preserve_field_references=True))
  if not all(isinstance(name, str) for name in names):
    return {path: f'config.{path} has a field whose name is not a text'}
  found = {}
  for name in sorted(names):
    field = f'{path}.{name}'
    value, line = read(options, field, name)
    if line := line or option_problem(path, name, value):
      found[field] = line
  return found


def option_problem(path: str, name: str, value: Any) -> str | None:
  """Why an option cannot be used, whatever its owner; or None.

  Args:
    path: of the options, as 'model.options'.
  """
  field = f'{path.removesuffix("options")}{name}'
  if field in FIELDS or not name.isidentifier():
    meant = f'config.{field}' if field in FIELDS else 'a name'
    return f'config.{path}.{name} is not allowed: must be {meant}'
  return optional(rules.OPTION).problem(f'{path}.{name}', value)
