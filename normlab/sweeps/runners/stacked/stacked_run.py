"""Trains runs that can be stacked, each in its own folder."""

import contextlib
import math
from collections.abc import Iterator, Sequence

from normlab import records
from normlab.journal.checkpoints import Position
from normlab.program import training_step
from normlab.runtime import thread_noise
from normlab.sweeps.runners.interface import Ended, Runs, Watch
from normlab.sweeps.runners.stacked import stackable
from normlab.sweeps.runners.stacked.stacked_member import StackedMember
from normlab.sweeps.runners.stacked.stacked_program import parameter_norms
from normlab.sweeps.runners.stacked.stacks import Stack
from normlab.training import evaluation, loop
from normlab.training.compiled_calls import CallMetrics, FetchedCall
from normlab.training.divergence import DivergedError


def train(runs: Runs, watch: Watch) -> Iterator[Ended]:
  """Trains a group of `stackable.groups` as one program.

  Runs that were stopped at different steps are continued one such step after
  the other.

  Yields:
    Each run when it has ended, unless it was interrupted.

  Raises:
    Exception: of the program of all; runs that were not yielded can be
      continued.
  """
  with contextlib.ExitStack() as stack:
    stack.enter_context(thread_noise.hidden())
    members = opened(runs, watch, stack)
    yield from (m.ended for m in members if m.ended)
    for part in at_equal_steps([m for m in members if not m.ended]):
      if watch.stop():
        for member in part:
          member.interrupt(member.start.step)
      else:
        yield from StackedRun(part, watch).train()


def opened(
  runs: Runs, watch: Watch, stack: contextlib.ExitStack
) -> list[StackedMember]:
  """The members, whose files `stack` closes."""
  members: list[StackedMember] = []
  first = None
  initializers = {}
  for path, config in runs.items():
    watch.started(path)
    watch.poll()
    member = StackedMember(path, config)
    stack.push(member.files)
    # Initial parameters are compiled once for all members that share them.
    key = records.flatten(config)[stackable.INITIAL]
    member.open(first, initializers.get(key))
    if not member.ended:
      first = first or member.run
      initializers.setdefault(key, member.run.program)
    members.append(member)
  return members


def at_equal_steps(
  members: Sequence[StackedMember],
) -> list[list[StackedMember]]:
  """The members in parts that can be stacked, those that are ahead first."""
  parts: dict[tuple[int, bool], list[StackedMember]] = {}
  for member in members:
    start = member.start.step, member.start.evaluation_due
    parts.setdefault(start, []).append(member)
  return [parts[start] for start in sorted(parts, reverse=True)]


class StackedRun:
  """A `loop.Trainable` of members at the same step, in one program.

  Attributes:
    config, start: of the first member.
  """

  def __init__(self, members: Sequence[StackedMember], watch: Watch):
    """Puts the members on the devices."""
    self._members = list(members)
    self._watch = watch
    self.config, self.start = members[0].config, members[0].start
    self._stack = Stack(
      [m.run for m in members], [m.taken_state() for m in members]
    )

  def train(self) -> Iterator[Ended]:
    """Makes all steps that are left.

    Yields:
      Each member when it has ended, unless it was interrupted.
    """
    yielded = set()
    for _ in loop.steps(self, [loop.evaluating(self)]):
      for member in self._members:
        if member.ended and member.path not in yielded:
          yielded.add(member.path)
          if not member.interrupted:
            yield member.ended

  def _live(self) -> list[int]:
    """The places in the stack of the members that have not ended."""
    return [i for i, m in enumerate(self._members) if not m.ended]

  def is_over(self) -> bool:
    """Whether every member has ended."""
    return not self._live()

  def run_steps(self, first: int, count: int) -> CallMetrics:
    """Dispatches `count` updates of each member from step `first` (from 0)."""
    return self._stack.run_steps(first, count)

  def parameter_norms(self) -> training_step.Metrics:
    """Dispatches the norms of the parameters of each member."""
    params = self._stack.state.state.params
    return parameter_norms(params, each=self.config.log_layer_norms)

  def write_rows(self, fetched: FetchedCall) -> None:
    """Writes the training rows of each member that has not ended."""
    for i in self._live():
      with self._guarded(i):
        self._members[i].rows.write(fetched.of_member(i))

  def stop(self) -> bool:
    """Polls the caller, and returns True to save and stop."""
    self._watch.poll()
    return self._watch.stop()

  @contextlib.contextmanager
  def _guarded(self, i: int) -> Iterator[None]:
    """A block that ends a member where it raises, and not the others."""
    member = self._members[i]
    with member.guarded():
      try:
        yield
      except DivergedError as error:
        self._save_best(i)
        member.diverge(error, self._stack.member(i))

  def evaluate(self, step: int, split: str) -> None:
    """Writes the rows of a split of all members.

    Raises:
      evaluation.Stopped: the sweep is to end.
    """
    if self.is_over():
      return
    # Not an attribute: in a cycle it would keep a stack that has ended.
    feed = evaluation.Stoppable(self._members[0].run.feed, self.stop)
    found = self._stack.evaluate(feed, split)
    for i in self._live():
      with self._guarded(i):
        self._members[i].journal.write(step, split, found[i])
        if not math.isfinite(found[i]['loss']):
          raise DivergedError(step, split)

  def positions(self, step: int) -> list[Position]:
    """Where each member stands."""
    return [m.position(step) for m in self._members]

  def save(self, step: int, *, best_only: bool) -> None:
    """Starts to save the states; keeps the best on the devices."""
    if best_only:
      self._keep_best(step)
      return
    for i in self._live():
      member = self._members[i]
      with member.guarded():
        # After an evaluation that was the best yet, the state is the best too.
        if not member.journal.is_best(step):
          self._save_best(i)
        member.unsaved_best = None
        member.journal.save(self._stack.member(i), member.position(step))

  def interrupt(
    self, step: int, unevaluated: Sequence[Position] | None = None
  ) -> None:
    """Ends the members, to be continued behind their newest checkpoints."""
    for i in self._live() if unevaluated else ():
      member = self._members[i]
      with member.guarded():
        self._save_best(i)
        member.journal.save_unevaluated(self._stack.member(i), unevaluated[i])
    for i in self._live():
      self._members[i].interrupt(step)

  def finish(self) -> None:
    """Ends the members, which have made all steps."""
    for i in self._live():
      member = self._members[i]
      with member.guarded():
        member.journal.wait()
        member.end()

  def _keep_best(self, step: int) -> None:
    """Keeps the states that are the best so far on the devices.

    A run alone writes each of them. A stack writes them when a checkpoint is
    due, as that takes tens of milliseconds per member. A process that dies
    loses them, and computes them again when it resumes.
    """
    improved = [not m.ended and m.journal.is_best(step) for m in self._members]
    if not any(improved):
      return
    self._stack.keep_best(improved)
    for member, flag in zip(self._members, improved, strict=True):
      if flag:
        member.unsaved_best = member.position(step)

  def _save_best(self, i: int) -> None:
    member = self._members[i]
    if member.unsaved_best is not None:
      member.journal.save(self._stack.best(i), member.unsaved_best)
      member.unsaved_best = None
