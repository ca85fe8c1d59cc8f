"""Trains runs that can be stacked, each in its own folder."""

import contextlib
import functools
import math
import time
from collections.abc import Iterator, Sequence

from normlab.data import feeds
from normlab.program import training_step
from normlab.runtime import thread_noise
from normlab.sweeps.runners.interface import Ended, Runs, Watch
from normlab.sweeps.runners.stacked import stackable
from normlab.sweeps.runners.stacked.stacked_member import Member, Start
from normlab.sweeps.runners.stacked.stacked_program import parameter_norms
from normlab.sweeps.runners.stacked.stacks import Stack
from normlab.training import preparation
from normlab.training.training_rows import DivergedError, Fetched, is_due


def train(runs: Runs, watch: Watch) -> Iterator[Ended]:
  """Trains a group of `stackable.groups` as one program.

  Runs that were stopped at different steps are continued one such step after
  the other.

  Args:
    runs: run folder to config.
    watch: as of `interface.Runner`.

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
) -> list[Member]:
  """The members, whose files `stack` closes."""
  members: list[Member] = []
  first = None
  initializers = {}
  for path, config in runs.items():
    watch.started(path)
    watch.poll()
    member = Member(path, config)
    stack.push(member.files)
    # Initial parameters are compiled once for all members that share them.
    key = stackable.initial(config)
    member.open(first, initializers.get(key))
    if not member.ended:
      first = first or member.ready
      initializers.setdefault(key, member.ready.program)
    members.append(member)
  return members


def at_equal_steps(members: Sequence[Member]) -> list[list[Member]]:
  """The members in parts that can be stacked, those that are ahead first."""
  parts: dict[Start, list[Member]] = {}
  for member in members:
    parts.setdefault(member.start, []).append(member)
  return [parts[start] for start in sorted(parts, reverse=True)]


class StackedRun:
  """Members at the same step, trained to the end as one program."""

  def __init__(self, members: Sequence[Member], watch: Watch):
    """Puts the members on the devices."""
    self._members = list(members)
    self._watch = watch
    self._config = members[0].config
    self._stack = Stack(
      [m.ready for m in members], [m.taken_state() for m in members]
    )
    self._yielded: set[str] = set()

  def train(self) -> Iterator[Ended]:
    """Makes all steps that are left.

    Yields:
      Each member when it has ended, unless it was interrupted.
    """
    config, start = self._config, self._members[0].start
    # Not an attribute: in a cycle it would keep a stack that has ended.
    log = self._new_log()
    if start.evaluation_due:
      self._look(start.step, saving=False)
      yield from self._newly_ended()
    for first, count in preparation.calls(config, start.step):
      if not self._live():
        return
      self._make_steps(first, count, log)
      step = first + count
      last = step == config.total_steps
      stopping = self._told() and not last
      saving = (
        last or stopping or is_due(step, preparation.checkpoint_every(config))
      )
      if saving or is_due(step, config.eval_every):
        log.flush()
        self._look(step, saving=saving)
      if stopping:
        self._interrupt(step)
      yield from self._newly_ended()
    for member in self._live():
      with member.guarded():
        member.journal.wait()
        member.end()
    yield from self._newly_ended()

  def _new_log(self) -> Fetched:
    each = self._config.log_layer_norms
    norms_of = functools.partial(parameter_norms, each=each)
    return Fetched(self._config, norms_of=norms_of, take=self._take)

  def _make_steps(self, first: int, count: int, log: Fetched) -> None:
    means = self._stack.run_steps(first, count)
    for member in self._live():
      # The first call compiled before it was dispatched.
      member.rows.started(first)
    log.add(first, means, self._stack.state.state.params)

  def _live(self) -> list[Member]:
    return [m for m in self._members if not m.ended]

  def _live_places(self) -> list[int]:
    """The places in the stack of those that have not ended."""
    return [i for i, m in enumerate(self._members) if not m.ended]

  def _told(self) -> bool:
    """Whether the sweep is to end; tells that it goes on."""
    self._watch.poll()
    return self._watch.stop()

  def _newly_ended(self) -> Iterator[Ended]:
    for member in self._members:
      if member.ended and member.path not in self._yielded:
        self._yielded.add(member.path)
        if not member.interrupted:
          yield member.ended

  def _interrupt(self, step: int) -> None:
    for member in self._live():
      member.interrupt(step)

  def _take(
    self, first: int, means: preparation.CallMeans, norms: training_step.Means
  ) -> None:
    """Writes the rows of each member that ended in a call."""
    for i in self._live_places():
      own = {name: norm[i] for name, norm in norms.items()}
      with self._guarded(i):
        self._members[i].rows.take(first, means.of_member(i), own)

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

  def _look(self, step: int, *, saving: bool) -> None:
    """Evaluates and saves the states after a step, as far as either is due."""
    begin = time.monotonic()
    rows = {m.path: m.journal.rows for m in self._live()}
    last = step == self._config.total_steps
    if last or is_due(step, self._config.eval_every):
      try:
        self._evaluate(step, last=last)
      except feeds.Stopped:
        for i in self._live_places():
          path = self._members[i].path
          self._save(i, step, rows_before_evaluation=rows[path])
        self._interrupt(step)
    if not saving:
      self._keep_best(step)
    for i in self._live_places() if saving else ():
      self._save(i, step)
    for member in self._live():
      member.rows.skip(time.monotonic() - begin)

  def _evaluate(self, step: int, *, last: bool) -> None:
    """Writes the rows of all members.

    Raises:
      feeds.Stopped: the sweep is to end; some rows may be written.
    """
    feed = feeds.Stoppable(self._members[0].ready.data, self._told)
    for split in ('validation', 'test') if last else ('validation',):
      if not self._live():
        return
      found = self._stack.evaluate(feed, split)
      for i in self._live_places():
        values = found[i]
        with self._guarded(i):
          self._members[i].journal.write(step, split, values)
          if not math.isfinite(values['loss']):
            raise DivergedError(step, split)

  def _keep_best(self, step: int) -> None:
    """Keeps the states that are the best so far on the devices.

    A run alone writes each of them. They are written here when a checkpoint is
    due: that takes tens of milliseconds a member, and what a process that dies
    loses, it does again.
    """
    improved = [not m.ended and m.journal.is_best(step) for m in self._members]
    if not any(improved):
      return
    self._stack.keep_best(improved)
    for member, flag in zip(self._members, improved, strict=True):
      if flag:
        window = member.rows.window
        member.unsaved_best = member.journal.mark(step, window=window)

  def _save(self, i: int, step: int, **where: int) -> None:
    """Saves a member's state, and its best one if that is not saved yet."""
    member = self._members[i]
    with member.guarded():
      # After an evaluation that was the best yet, the state is the best too.
      if where or not member.journal.is_best(step):
        self._save_best(i)
      member.unsaved_best = None
      member.save(step, self._stack.member(i), **where)

  def _save_best(self, i: int) -> None:
    member = self._members[i]
    if member.unsaved_best is not None:
      member.journal.save_at(member.unsaved_best, self._stack.best(i))
      member.unsaved_best = None
