"""The errors of normlab, and how values stand in them."""

import contextlib
import traceback
from collections.abc import Iterator
from typing import Any

# Values in an error are cut to this many characters, and exceptions to these.
LONGEST_SHOWN, LONGEST_LINE = 120, 300


class ConfigError(ValueError):
  """A request that cannot be carried out.

  Its arguments are what is wrong, one line for a person each, and its text is
  these lines.
  """

  @property
  def problems(self) -> tuple[str, ...]:
    """The problems, one line each."""
    return tuple(map(str, self.args))

  def __str__(self) -> str:
    return '\n'.join(self.problems)


def shown(value: Any) -> str:
  """A value as it is written in an error: one line, of any value."""
  try:
    text = one_line(repr(value))
  except Exception:  # From the class of the value; or an int of 5,000 digits.
    text = f'<{type(value).__name__}>'
  return cut(text, LONGEST_SHOWN)


def cut(text: str, length: int = LONGEST_LINE) -> str:
  """The text, shortened with an ellipsis where it is longer."""
  return text if len(text) <= length else f'{text[: length - 3]}...'


def one_line(text: str) -> str:
  """The text without line breaks."""
  return ' '.join(text.split())


def typed(error: BaseException) -> str:
  """An exception in one line: its type, and its text if it has one."""
  kind, text = type(error).__name__, one_line(str(error))
  return f'{kind}: {text}' if text else kind


def summary(error: BaseException) -> str:
  """An exception in one line; with its type if it was not made for people."""
  if isinstance(error, ValueError) and (text := one_line(str(error))):
    return cut(text, 2 * LONGEST_LINE)  # Ours name paths.
  return cut(typed(error))


@contextlib.contextmanager
def users_code(what: str, file: str) -> Iterator[None]:
  """Turns every failure of a user's program into a ConfigError.

  That includes `sys.exit()`, which would end a script in silence.

  Args:
    what: runs, in the words of the error.
    file: the program; the error says in which of its lines it failed.
  """
  try:
    yield
  except (Exception, SystemExit) as error:
    known = isinstance(error, ConfigError)
    said = error.problems if known else [f'fails with {cut(typed(error))}']
    frames = traceback.extract_tb(error.__traceback__)
    at = [frame for frame in frames if frame.filename == file]
    line = f', line {at[-1].lineno} ({cut(at[-1].line, 80)})' if at else ''
    raise ConfigError(*(f'{what}{line}: {text}' for text in said)) from error
