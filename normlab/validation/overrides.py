"""Sets fields of a config by path: from a row of a sweep, or a command line."""

import ast
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections
from absl import flags

from normlab import errors
from normlab.validation import fields

# The type of a field to what reads its value from a command line.
READERS: dict[type, Callable[[str], Any]] = {
  int: flags.IntegerParser().parse,
  float: flags.FloatParser().parse,
  bool: flags.BooleanParser().parse,
  tuple: ast.literal_eval,
  # Of an option: whether it has the right type is asked of its owner.
  object: lambda text: ast.literal_eval(WORDS.get(text.lower(), text)),
}
WORDS = {'true': 'True', 'false': 'False', 'none': 'None'}


def set_field(
  config: ml_collections.ConfigDict,
  path: Any,
  value: Any,
  kinds: Mapping[str, type],
  *,
  is_text: bool = False,
) -> str | None:
  """Sets a field; why it cannot be set, in one line, or None.

  Args:
    config: is changed; a value of the right type, but out of the range of its
      field, is left to the check of the whole config.
    path: as 'norm.name'; of any type.
    kinds: the types of its fields, as of `records.types`; a copy has lost those
      of the fields that are None.
    is_text: whether the value is written as on a command line: '(32, 64)'.
  """
  owner_path, _, option = str(path).rpartition('.')
  if owner_path in fields.OPTIONS:
    return set_option(config, owner_path, option, value, is_text=is_text)
  rule = fields.FIELDS.get(path)
  if rule is None:
    return fields.unknown(path)
  if path not in kinds:
    return fields.missing([path])
  section, _, name = path.rpartition('.')
  owner, kind = config[section] if section else config, kinds[path]
  value = read(value, kind) if is_text else value
  if isinstance(value, bool) and kind in (int, float):
    # It would become 1, or 1.0.
    return rule.problem(path, value)
  try:
    owner[name] = converted(value, kind)
  except (TypeError, ValueError, OverflowError) as error:
    return rule.problem(path, value) or (
      f'config.{path}={errors.shown(value)} is not allowed: '
      f'{errors.one_line(str(error))}'
    )
  return None


def set_option(
  config: ml_collections.ConfigDict,
  path: str,
  name: str,
  value: Any,
  *,
  is_text: bool,
) -> str | None:
  """Sets an argument of own code, of any type; as `set_field`.

  Args:
    path: of the options, as 'model.options'.
  """
  section = config.get(path.split('.')[0], {})
  options = section.get('options')
  if not isinstance(options, ml_collections.ConfigDict):
    return fields.missing([path])
  value = read(value, object) if is_text else value
  value = tuple(value) if isinstance(value, list) else value
  if problem := fields.option_problem(path, name, value):
    return problem
  with options.unlocked(), options.ignore_type():
    options[name] = value
  return None


def read(text: str, kind: type) -> Any:
  """The value that a text stands for; the text where it stands for none."""
  try:
    return READERS.get(kind, str)(text)
  except (ValueError, SyntaxError):
    return text


def converted(value: Any, kind: type) -> Any:
  """A whole number as float where that is the type of the field.

  The same run must not have two names, for 5 and for 5.0.
  """
  if kind is float and isinstance(value, int):
    try:
      return float(value)
    except OverflowError:  # The rule of the field says what is wrong.
      return value
  return tuple(value) if isinstance(value, list) else value
