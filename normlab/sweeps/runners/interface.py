"""The interface of runners, which train the runs of a sweep."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from normlab.validation import CheckedConfig

# Run folder to config, in the order in which runs are to be started.
Runs = Mapping[str, CheckedConfig]


class Ended(NamedTuple):
  """A run that has ended, or that could not be trained.

  Attributes:
    path: its folder; the record there says how it ended.
    problem: what went wrong, in one line; None for a run that has its result
      ('done' or 'diverged').
  """

  path: str
  problem: str | None = None


class Watch(Protocol):
  """The caller of a runner: notes what happens, and says when to end."""

  def started(self, path: str) -> None:
    """The run in this folder is being trained from now on."""

  def poll(self) -> None:
    """Called several times a second while runs are trained."""

  def stop(self) -> bool:
    """Returns True to save all states and end."""


class Runner(Protocol):
  """Trains runs; knows nothing about what the runs are for."""

  def describe(self) -> str:
    """How the runs are trained, in words, as 'one after another'."""

  def check(self, runs: Runs) -> None:
    """Makes sure that these checked runs can be trained; writes nothing.

    Raises:
      errors.ConfigError: a cluster that does not answer, or one that lacks what
        a run needs.
    """

  def train(self, runs: Runs, watch: Watch) -> Iterator[Ended]:
    """Trains each run in its folder, from where its record stands.

    A run that diverges, fails, or whose process dies does not stop the others.
    When `watch.stop()` says so, all states are saved and the iterator ends;
    runs that were not yielded then have no result.

    Yields:
      Each run when it has ended, once.
    """
