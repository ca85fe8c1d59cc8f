"""The loop over calls: what it does between them, and in which order."""

import numpy as np
import pytest

from configs import base
from normlab.journal.checkpoints import Position
from normlab.training import evaluation, loop
from normlab.training.compiled_calls import CallMetrics


class Runs:
  """A `loop.Trainable` that notes what the loop asks of it.

  It is told to stop after `stop_after` updates, and ends then or with the
  rows of step `ends_at`.
  """

  def __init__(self, start, *, stop_after=None, ends_at=None):
    self.config = base.get_config()
    self.config.total_steps, self.config.log_every = 10, 5
    self.config.eval_every, self.config.checkpoint_every = 5, 4
    self.config.steps_per_call = 5
    self.start, self.events = start, []
    self._stop_after, self._ends_at = stop_after, ends_at
    self._step, self._over = start.step, False

  def is_over(self):
    return self._over

  def run_steps(self, first, count):
    self._step = first + count
    self.events.append(('steps', self._step))
    return CallMetrics(('loss',), np.ones((count, 1)))

  def parameter_norms(self):
    return {'parameter_norm': np.float32(1)}

  def write_rows(self, fetched):
    self.events.append(('rows', fetched.end))
    self._over = fetched.end == self._ends_at

  def evaluate(self, step, split):
    self.events.append((split, step))

  def positions(self, step):
    return len(self.events)

  def save(self, step, *, best_only):
    self.events.append(('save best' if best_only else 'save', step))

  def stop(self):
    return self._step == self._stop_after

  def interrupt(self, step, unevaluated=None):
    self.events.append(('interrupt', step, unevaluated))
    self._over = True

  def finish(self):
    self.events.append('finish')


def events(runs, hooks=None):
  """What happens, from the start to the end of the loop."""
  for _ in loop.steps(runs, hooks or [loop.evaluating(runs)]):
    pass
  return runs.events


def noting(runs, name, at, error=None):
  """A hook that notes its name at some steps."""

  def act(step):
    runs.events.append((name, step))
    if error:
      raise error

  return loop.Hook(lambda step: step in at, act)


def test_states_are_evaluated_and_then_saved():
  assert events(Runs(Position(4))) == [
    ('steps', 5),
    ('rows', 5),
    ('validation', 5),
    ('save best', 5),
    ('steps', 8),
    ('rows', 8),
    ('save', 8),
    ('steps', 10),
    ('rows', 10),
    ('validation', 10),
    ('test', 10),
    ('save', 10),
    'finish',
  ]


def test_hooks_act_in_their_order_once_the_rows_so_far_are_written():
  runs = Runs(Position(8))
  hooks = [
    noting(runs, 'first', (8, 10)),
    loop.evaluating(runs),
    noting(runs, 'last', (10,)),
  ]
  assert events(runs, hooks) == [
    ('first', 8),
    ('save best', 8),
    ('steps', 10),
    ('rows', 10),
    ('first', 10),
    ('validation', 10),
    ('test', 10),
    ('last', 10),
    ('save', 10),
    'finish',
  ]


@pytest.mark.parametrize('due', [True, False])
def test_start_is_evaluated_only_if_that_is_due(due):
  runs = Runs(Position(5, evaluation_due=due), stop_after=8)
  found = events(runs)
  assert (found[0] == ('validation', 5)) == due


def test_runs_that_are_told_to_stop_are_saved_first():
  found = events(Runs(Position(0), stop_after=4))
  assert found[-2:] == [('save', 4), ('interrupt', 4, None)]


def test_hook_that_is_stopped_interrupts_with_the_positions_before_it():
  runs = Runs(Position(4))
  hooks = [noting(runs, 'stopped', (5,), evaluation.Stopped())]
  assert events(runs, hooks) == [
    ('steps', 5),
    ('rows', 5),
    ('stopped', 5),
    ('interrupt', 5, 2),
  ]


def test_hooks_get_the_metrics_of_each_call_when_its_rows_are_written():
  runs = Runs(Position(4))

  def fetched(call):
    runs.events.append(('fetched', call.first, call.metrics.count))

  assert events(runs, [loop.Hook(fetched=fetched)]) == [
    ('steps', 5),
    ('steps', 8),
    ('rows', 5),
    ('fetched', 4, 1),
    ('rows', 8),
    ('fetched', 5, 3),
    ('save', 8),
    ('steps', 10),
    ('rows', 10),
    ('fetched', 8, 2),
    ('save', 10),
    'finish',
  ]


def test_no_steps_are_made_when_all_runs_have_ended():
  found = events(Runs(Position(0), ends_at=4))
  assert ('steps', 4) in found and ('steps', 5) not in found
  assert 'finish' not in found
