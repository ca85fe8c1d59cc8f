"""Domains of hyperparameters: a number in [0, 1) becomes a value."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol


class Domain(Protocol):
  """Values of a hyperparameter, with a density."""

  def at(self, u: float) -> Any:
    """The value at quantile `u`, from 0 up to, not including, 1."""


class Uniform(NamedTuple):
  """The numbers between two, alike."""

  low: float
  high: float

  def at(self, u: float) -> float:
    """The value at quantile `u`."""
    return self.low + (self.high - self.low) * u


class LogUniform(NamedTuple):
  """The numbers between two positive ones, alike in their logarithm."""

  low: float
  high: float

  def at(self, u: float) -> float:
    """The value at quantile `u`."""
    drawn = math.exp(Uniform(math.log(self.low), math.log(self.high)).at(u))
    # The exponential of a logarithm can lie a rounding outside.
    return min(max(drawn, self.low), self.high)


class Integers(NamedTuple):
  """The whole numbers from one to another, both included, alike."""

  low: int
  high: int

  def at(self, u: float) -> int:
    """The value at quantile `u`."""
    return self.low + int((self.high - self.low + 1) * u)


class Choice:
  """Some values, alike; in a sweep, each of them in order."""

  def __init__(self, values: tuple[Any, ...]):
    """Takes the values, of which there is one at least."""
    self.values = values

  def __iter__(self) -> Iterator[Any]:
    """Yields the values in order."""
    return iter(self.values)

  def __len__(self) -> int:
    """The number of values."""
    return len(self.values)

  def __repr__(self) -> str:
    """As it is written."""
    return f'choice({list(self.values)!r})'

  def at(self, u: float) -> Any:
    """The value at quantile `u`."""
    return self.values[int(len(self.values) * u)]
