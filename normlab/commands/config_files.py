"""Config files: programs of the user, run once, and overrides of fields."""

import importlib.machinery
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType

import ml_collections

from normlab import errors, own_code, records

NAME = 'config_file'
OVERRIDE = re.compile(r'--?(no)?config\.([^=]*)(?:=(.*))?', re.DOTALL)
# A locked ConfigDict on a field that it lacks; a dump of all fields follows.
UNKNOWN = re.compile(r'Key "(.+?)" does not exist|instead of "(.+?)"\?')
FROM_BASE = 'must be a config that starts from configs/base.py'


def load(file: str) -> ModuleType:
  """Runs a config file, beside which own code can be imported.

  Raises:
    errors.ConfigError: it cannot be read, or fails.
  """
  loader = importlib.machinery.SourceFileLoader(NAME, file)
  spec = importlib.util.spec_from_loader(NAME, loader)
  module = importlib.util.module_from_spec(spec)
  own_code.take_from(folder_of(file))
  # Where dataclasses and pickle look for what the file defines.
  sys.modules[NAME] = module
  with errors.users_code(f'--config={file}', file):
    try:
      source = loader.get_data(file)
    except OSError as error:
      raise errors.ConfigError(f'cannot be read: {error.strerror}') from error
    exec(loader.source_to_code(source, file), module.__dict__)
  own_code.alias(module)
  return module


def folder_of(file: str) -> str:
  """The folder of a config file, where its own code is."""
  return os.path.dirname(os.path.abspath(file))


def config_of(module: ModuleType, *arguments: str) -> ml_collections.ConfigDict:
  """The locked config of a config file: what its `get_config` returns.

  Args:
    *arguments: of `get_config`: the text behind the colon of FILE:TEXT.

  Raises:
    errors.ConfigError: there is no such function, it fails, or it returns
      something else.
  """
  file = module.__file__
  get_config = getattr(module, 'get_config', None)
  if not callable(get_config):
    raise errors.ConfigError(
      f'--config={file} has no function get_config(), which returns the '
      'config; configs/digits_cnn.py is an example'
    )
  what = f'get_config of {file}'
  with errors.users_code(what, file):
    try:
      config = get_config(*arguments)
    except (AttributeError, KeyError) as error:
      if found := unknown_field(error):
        raise found from error
      raise
  # A frozen one can neither be overridden, nor does it know its types.
  if type(config) is not ml_collections.ConfigDict:
    is_frozen = isinstance(config, ml_collections.ConfigDict)
    returned = type(config).__name__ if is_frozen else errors.shown(config)
    raise errors.ConfigError(f'{what} returns {returned}; {FROM_BASE}')
  config.lock()
  if config.get('code_dir', '') is None:
    config.code_dir = folder_of(file)
  own_code.take_from(config.get('code_dir'))
  return config


def unknown_field(error: Exception) -> errors.ConfigError | None:
  """The error of a field that a locked config lacks; None for others."""
  named = UNKNOWN.search(str(error))
  if not named:
    return None
  from normlab.validation import fields

  found = errors.ConfigError(fields.unknown(named[1] or named[2]))
  # Which knows the line.
  return found.with_traceback(error.__traceback__)


def split(words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
  """Takes the overrides out of a command line.

  An override is --config.FIELD=VALUE, --config.FIELD VALUE, or for True and
  False --config.FIELD and --noconfig.FIELD; with one dash or two.

  Returns:
    The other words, and the overrides: path and text of the value.

  Raises:
    ValueError: --noconfig.FIELD=VALUE.
  """
  others, overrides, left = [], [], list(words)
  while left:
    match = OVERRIDE.fullmatch(word := left.pop(0))
    if not match:
      others.append(word)
      continue
    no, path, text = match.groups()
    if no and text is not None:
      raise ValueError(f'{word} is not allowed: must be --noconfig.{path}')
    if no:
      text = 'false'
    elif text is None:
      is_value = left and not re.match(r'-+[a-z]', left[0])
      text = left.pop(0) if is_value else 'true'
    overrides.append((path, text))
  return others, overrides


def override(
  config: ml_collections.ConfigDict, overrides: Iterable[tuple[str, str]]
) -> None:
  """Sets fields of a config to values that are written as on a command line.

  Raises:
    errors.ConfigError: a field or value that cannot be; with all that is wrong
      with the config beside it, so that it is said at once.
  """
  if not overrides:
    return
  # After the config, whose errors are quick.
  from normlab import validation
  from normlab.validation.overrides import set_field

  try:
    kinds = records.types(config)
  except Exception:  # A reference computes, and can raise anything.
    validation.check(config)  # Says of which field.
    raise
  found = (set_field(config, *pair, kinds, is_text=True) for pair in overrides)
  problems = [problem for problem in found if problem]
  if problems:
    try:
      validation.check(config)
    except errors.ConfigError as error:
      problems += error.problems
    raise errors.ConfigError(*dict.fromkeys(problems))
  own_code.take_from(config.code_dir)
