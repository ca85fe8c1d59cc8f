"""Own code: what an import path such as 'my_project.vgg:VGG' names.

It is imported in the process that needs it, from the environment of that, or
from the folder of the config file.
"""

import collections.abc
import contextlib
import difflib
import functools
import importlib
import importlib.util
import inspect
import os
import pathlib
import re
import sys
import traceback
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from normlab import errors

NAME = r'[^\W\d]\w*(\.[^\W\d]\w*)*'
IMPORT_PATH = re.compile(f'{NAME}:{NAME}')
# Arguments that flax adds to every module.
OF_FLAX = ('name', 'parent')
# Those that own code was taken from, the present one last; and those of them
# that `sys.path` did not have.
_folders: list[str] = []
_added: set[str] = set()


def is_import_path(name: Any) -> bool:
  """Whether this names own code: MODULE:NAME."""
  return isinstance(name, str) and ':' in name


def take_from(folder: str | None) -> None:
  """Makes the modules in a folder importable, behind all others.

  Behind them, so that a `random.py` beside a config breaks nothing. None, and a
  folder that is not on this machine, are allowed: the code may be installed.
  The folder before is left.
  """
  if folder is None:
    return
  left = _added - {folder}
  sys.path[:] = [path for path in sys.path if path not in left]
  _added.difference_update(left)
  if folder not in sys.path:
    sys.path.append(folder)
    _added.add(folder)
  _folders[:] = [*(f for f in _folders if f != folder), folder]
  # Written since the last import, perhaps.
  importlib.invalidate_caches()


def imported(kind: str, path: str) -> Any:
  """What an import path names.

  Args:
    kind: what it should be, in the words of the error ('model').

  Raises:
    errors.ConfigError: why it cannot be imported, in one line.
  """
  what = f'{kind} {errors.shown(path)}'
  if not IMPORT_PATH.fullmatch(path):
    raise errors.ConfigError(
      f"{what}: an import path must be MODULE:NAME, as 'my_project.vgg:VGG'"
    )
  module_name, _, attribute = path.partition(':')
  try:
    module = importlib.import_module(module_name)
  except (Exception, SystemExit) as error:
    raise errors.ConfigError(f'{what}: {why(module_name, error)}') from error
  check_folder(what, module)
  try:
    return functools.reduce(getattr, attribute.split('.'), module)
  except AttributeError as error:
    near = difflib.get_close_matches(attribute, vars(module), n=1)
    hint = f'; did you mean {near[0]!r}?' if near else ''
    where = getattr(module, '__file__', None) or 'no file'
    raise errors.ConfigError(
      f'{what}: module {module_name!r} ({where}) has no {attribute!r}{hint}'
    ) from error


def check_folder(what: str, module: types.ModuleType) -> None:
  """Refuses a module that was imported from the folder of another config.

  Raises:
    errors.ConfigError: it is not what a new process would import.
  """
  file = pathlib.Path(getattr(module, '__file__', None) or os.devnull)
  was_own = any(file.is_relative_to(folder) for folder in _folders)
  if was_own and not any(file.is_relative_to(p or '.') for p in sys.path):
    raise errors.ConfigError(
      f'{what}: this process has imported {module.__name__!r} from '
      f'{str(file)!r} before, and not from {_folders[-1]!r}: start a new one'
    )


def function(kind: str, path: str) -> Callable[..., Any]:
  """`imported`, of what can be called.

  Raises:
    errors.ConfigError: as `imported`, or it cannot be called.
  """
  found = imported(kind, path)
  if not callable(found):
    raise errors.ConfigError(
      f'{kind} {path!r} is {errors.shown(found)}; must be a class or a function'
    )
  return found


def why(module: str, error: BaseException) -> str:
  """Why a module cannot be imported, in words."""
  absent = isinstance(error, ModuleNotFoundError) and error.name
  if absent and f'{module}.'.startswith(f'{absent}.'):
    looked = 'in the environment'
    for folder in _folders[-1:]:
      gone = not pathlib.Path(folder).is_dir()
      looked += f' and in {folder!r}'
      looked += ', which is not on this machine' if gone else ''
    return f'there is no module {absent!r} (looked {looked})'
  frames = traceback.extract_tb(error.__traceback__)
  own = [f for f in frames if not is_of_imports(f.filename)]
  at = f' ({own[-1].filename}, line {own[-1].lineno})' if own else ''
  return f'module {module!r} fails with {errors.cut(errors.typed(error))}{at}'


def is_of_imports(file: str) -> bool:
  """Whether a file is a part of the import system, or this one."""
  return file == __file__ or 'importlib' in file


def alias(module: types.ModuleType) -> None:
  """Lets the own code in a config file be imported without a second run.

  Under the name that it has for the workers: that of the file, unless that is
  the name of another module.
  """
  path = pathlib.Path(module.__file__)
  before = sys.modules.get(path.stem)
  if before is None and path.suffix == '.py':
    with contextlib.suppress(ImportError, ValueError):
      spec = importlib.util.find_spec(path.stem)
      if spec and spec.origin and os.path.samefile(spec.origin, path):
        sys.modules[path.stem] = module
  elif before and before.__name__ == module.__name__:
    sys.modules[path.stem] = module


# Of each config that is checked, and type hints take a millisecond.
@functools.lru_cache(maxsize=256)
def parameters(owner: Callable[..., Any]) -> dict[str, inspect.Parameter]:
  """The named arguments of a function or class; their types as annotations.

  An argument without annotation has the type of its default.
  """
  try:
    found = inspect.signature(owner).parameters
  except (TypeError, ValueError):  # Of C.
    return {}
  try:
    hints = typing.get_type_hints(owner)
  except Exception:  # Texts that name what is not there.
    hints = {}
  named = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
  return {
    name: parameter.replace(annotation=kind_of(parameter, hints.get(name)))
    for name, parameter in found.items()
    if parameter.kind not in named
    and not (name in OF_FLAX and hasattr(owner, '__dataclass_fields__'))
  }


def kind_of(parameter: inspect.Parameter, hint: Any) -> Any:
  """The type of an argument; Any where nothing tells it."""
  if hint is not None:
    return hint
  given = parameter.annotation
  if given is not parameter.empty:
    return Any if isinstance(given, str) else given
  plain = (bool, int, float, str, tuple)
  kind = type(parameter.default)
  return kind if kind in plain else Any


def option_problem(
  known: Mapping[str, inspect.Parameter], name: str, value: Any
) -> str | None:
  """Why an argument cannot have this value; None if it can."""
  kind = known[name].annotation
  if value is None or fits(value, kind):
    return None
  return f'must be of type {inspect.formatannotation(kind)}'


def fits(value: Any, kind: Any) -> bool:
  """Whether a value has a type; True of types that cannot be told."""
  origin, inner = typing.get_origin(kind), typing.get_args(kind)
  if origin in (typing.Union, types.UnionType):
    return any(fits(value, part) for part in inner)
  if origin is typing.Literal:
    return value in inner
  if kind in (int, float):
    allowed = int if kind is int else (int, float)
    return isinstance(value, allowed) and not isinstance(value, bool)
  base = origin or kind
  if base is collections.abc.Callable:
    return callable(value)
  if base is Any or not isinstance(base, type):
    return True
  if isinstance(value, list | tuple):
    is_one = issubclass(tuple, base) or issubclass(list, base)
    each = [part for part in inner if part is not ...]
    # tuple[int, str] has a type for each; Sequence[int] has one for all.
    one_kind = each[0] if len(each) == 1 else Any
    return is_one and all(fits(part, one_kind) for part in value)
  try:
    # A text is a sequence, and not the one that was meant.
    return isinstance(value, base) and (base is str or type(value) is not str)
  except TypeError:
    return True
