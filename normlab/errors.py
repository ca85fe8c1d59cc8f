"""The errors of normlab, and how values stand in them."""

from typing import Any

# Values in an error are cut to this many characters.
LONGEST_SHOWN = 120


class ConfigError(ValueError):
  """A request that cannot be carried out.

  Its arguments are what is wrong, one line for a person each, and its text is
  these lines.
  """

  @property
  def problems(self) -> tuple[str, ...]:
    """What is wrong, one line each."""
    return tuple(map(str, self.args))

  def __str__(self) -> str:
    return '\n'.join(self.problems)


def shown(value: Any) -> str:
  """A value as it is written in an error: one line, of any value."""
  try:
    text = one_line(repr(value))
  except Exception:  # Of whoever wrote the class; or an int of 5,000 digits.
    text = f'<{type(value).__name__}>'
  if len(text) <= LONGEST_SHOWN:
    return text
  return f'{text[: LONGEST_SHOWN - 3]}...'


def one_line(text: str) -> str:
  """The text without line breaks."""
  return ' '.join(text.split())
