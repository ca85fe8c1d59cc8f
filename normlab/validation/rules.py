"""Rules for the value of one field: its type, its range, and both in words.

A config can hold values of any type: ml_collections accepts True for a whole
number and NaN for any number, and a config from JSON, or an unlocked one,
accepts everything. So a rule must not raise, whatever the value.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from normlab import errors

Test = Callable[[Any], bool]


class Rule(NamedTuple):
  """A rule for the value of a field.

  Attributes:
    holds: whether a value, of any type, is allowed.
    allowed: what is allowed, in words.
    optional: whether None is allowed too: off, or a default of the owner.
  """

  holds: Test
  allowed: str
  optional: bool = False

  def problem(self, field: str, value: Any) -> str | None:
    """Says in one line why a field cannot have this value; None if it can."""
    if value is None:
      return (
        None if self.optional else f'config.{field}=None: a value is needed'
      )
    if self.holds(value):
      return None
    return refused(field, value, f'must be {self.allowed}')


def refused(field: str, value: Any, why: str) -> str:
  """The line of a value that is not allowed; `why` as 'must be 1'."""
  return f'config.{field}={errors.shown(value)} is not allowed: {why}'


def optional(rule: Rule) -> Rule:
  """The rule, with None allowed."""
  return rule._replace(optional=True)


def is_whole(value: Any) -> bool:
  """Whether this is an int, of Python or NumPy; True is not, and 2.0 is not."""
  return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
  """Whether this is an int or a float, of Python or NumPy; True is not.

  NumPy's float64 is a float; its longer ones have no place in JSON.
  """
  return is_whole(value) or isinstance(value, float | np.float16 | np.float32)


def wholes(low: int, high: int) -> Test:
  """Holds for the whole numbers from `low` to `high`."""
  return lambda v: is_whole(v) and low <= int(v) <= high


def numbers(test: Test) -> Test:
  """Holds for the numbers for which `test` does, each as a Python number."""
  # NumPy's own float16 would compare in float16, and overflow.
  return lambda v: (
    is_number(v) and bool(test(v.item() if isinstance(v, np.generic) else v))
  )


def several(test: Test) -> Test:
  """Holds for a tuple, or list, of at least one value, where `test` does."""
  return lambda v: (
    isinstance(v, tuple | list) and len(v) > 0 and all(map(test, v))
  )


# Numbers are float32 and int32 where they are used.
LARGEST, SMALLEST = (
  float(getattr(jnp.finfo('float32'), n)) for n in ('max', 'tiny')
)
LARGEST_INT = 2**31 - 1
# More than any network has, and few enough to build its shapes.
MOST_CHANNELS, MOST_WIDTH, MOST_ITERATIONS = 2**20, 1_000, 100
STATISTICS = ('running', 'batch', 'recalibrated')

TEXT = Rule(lambda v: isinstance(v, str) and v.strip() != '', 'text, not empty')
BOOL = Rule(lambda v: isinstance(v, bool | np.bool_), 'True or False')
SEED = Rule(wholes(0, 2**32 - 1), 'a whole number from 0 to 2**32 - 1')
AT_LEAST_ONE = Rule(
  wholes(1, LARGEST_INT), 'a whole number of at least 1, in int32'
)
NOT_NEGATIVE_INT = Rule(
  wholes(0, LARGEST_INT), 'a whole number of at least 0, in int32'
)
# They are unrolled in the program.
ITERATIONS = Rule(
  wholes(1, MOST_ITERATIONS), f'a whole number from 1 to {MOST_ITERATIONS}'
)
POSITIVE = Rule(
  numbers(lambda v: SMALLEST <= v <= LARGEST),
  'a finite number above 0, in float32',
)
NOT_NEGATIVE = Rule(
  numbers(lambda v: 0 <= v <= LARGEST),
  'a finite number of at least 0, in float32',
)
FROM_ONE = Rule(
  numbers(lambda v: 1 <= v <= LARGEST),
  'a finite number of at least 1, in float32',
)
EXPONENT = Rule(numbers(lambda v: v >= 1), 'a number from 1, or inf')
SHARE = Rule(
  numbers(lambda v: 0 <= v < 1 and np.float32(v) < 1),
  'a number from 0 up to, not including, 1, in float32',
)
MOMENTUM = Rule(numbers(lambda v: 0 <= v <= 1), 'a number from 0 to 1')
POSITIVE_SHARE = Rule(
  numbers(lambda v: SMALLEST <= v <= 1), 'a number above 0, up to 1'
)
WIDTH = Rule(
  numbers(lambda v: SMALLEST <= v <= MOST_WIDTH),
  f'a number above 0, up to {MOST_WIDTH:,}',
)
WIDTHS = Rule(
  lambda v: (
    isinstance(v, tuple | list) and all(map(wholes(1, MOST_CHANNELS), v))
  ),
  f'whole numbers from 1 to {MOST_CHANNELS:,}, one a layer, as (32, 64); () is '
  'no hidden layer',
)
AXES = Rule(
  several(wholes(-LARGEST_INT, LARGEST_INT)), 'whole numbers, as (1, 2, 3)'
)
BOUNDARIES = Rule(
  lambda v: (
    several(wholes(1, LARGEST_INT))(v) and list(v) == sorted({*map(int, v)})
  ),
  'rising whole numbers of at least 1, as (400, 800)',
)
NAMES = Rule(
  lambda v: several(TEXT.holds)(v) and len(v) == len({*v}),
  "one or more texts in a tuple, none twice, as ('outputs',)",
)
STEP_LENGTHS = Rule(
  several(NOT_NEGATIVE.holds),
  'one or more finite numbers of at least 0, in float32, as (0.5, 1.0)',
)
STATISTICS_NAMES = Rule(
  lambda v: (
    several(lambda name: isinstance(name, str) and name in STATISTICS)(v)
    and len(v) == len({*v})
  ),
  f'some of {", ".join(map(repr, STATISTICS))}, none twice, as '
  "('running',) or ('running', 'batch')",
)
# What JSON keeps, and what is hashable once lists are tuples.
OPTION = Rule(
  lambda v: (
    all(map(OPTION.holds, v))
    if isinstance(v, tuple | list)
    else isinstance(v, str | bool) or is_number(v)
  ),
  'a number, text, True, False, or a tuple of these',
)
DTYPE = Rule(
  lambda v: isinstance(v, str) and v in ('float32', 'bfloat16'),
  "'float32' or 'bfloat16'",
)
