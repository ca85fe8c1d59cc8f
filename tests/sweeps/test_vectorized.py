"""Whole groups of runs, which must be as each of them is alone."""

import jax
import numpy as np
import pytest
import stacked_runs as stacked
from stacked_runs import NUMBERS

from normlab import records
from normlab.journal.journals import Journal
from normlab.sweeps.runners.stacked import stackable, stacks


@pytest.fixture(scope='module')
def lone(tmp_path_factory):
  """Where runs that were trained alone are."""
  return tmp_path_factory.mktemp('alone')


def statuses(runs):
  return [records.Record(path).status['status'] for path in runs]


mesh_of = stacks.mesh_of


@pytest.fixture(autouse=True)
def two_devices(monkeypatch):
  on_devices(monkeypatch, 2)


def on_devices(monkeypatch, number):
  monkeypatch.setattr(stacks, 'mesh_of', lambda n: mesh_of(min(n, number)))


@pytest.mark.parametrize('number', [2, 8])
def test_members_have_the_rows_and_parameters_of_the_runs_alone(
  number, tmp_path, lone, monkeypatch
):
  """On two devices, one member fills up; on eight, three have none."""
  on_devices(monkeypatch, number)
  runs = stacked.group(tmp_path)
  assert len(stackable.groups(runs)) == 1
  assert stacked.train(runs) == dict.fromkeys(runs)
  for path, fields in zip(runs, NUMBERS, strict=True):
    stacked.assert_is_as_alone(path, lone, fields)


def test_convolutions_have_the_rows_of_the_runs_alone(tmp_path, lone):
  shared = {
    'model.name': 'cnn',
    'model.widths': (4, 4),
    'norm.name': 'group',
    'norm.num_groups': 2,
    'norm.momentum': None,
    'total_steps': 4,
    'data.random_crop': 1,
  }
  members = [
    {**shared, 'optimizer.learning_rate': 0.1},
    {**shared, 'seed': 3, 'label_smoothing': 0.3},
  ]
  runs = {
    str(tmp_path / str(i)): stacked.config(**fields)
    for i, fields in enumerate(members)
  }
  assert len(stackable.groups(runs)) == 1
  assert stacked.train(runs) == dict.fromkeys(runs)
  for path, fields in zip(runs, members, strict=True):
    stacked.assert_is_as_alone(path, lone, fields)


def test_a_divergence_ends_a_member_and_no_other(tmp_path, lone):
  runs = stacked.group(tmp_path)
  first, *others = runs
  fields = {'optimizer.learning_rate': 1e30}
  runs[first] = stacked.config(**fields)
  ended = stacked.train(runs)
  assert list(ended) == [first, *others] and set(ended.values()) == {None}
  stacked.assert_is_as_alone(first, lone, fields)
  for path, numbers in zip(others, NUMBERS[1:], strict=True):
    stacked.assert_is_as_alone(path, lone, numbers)
  status = records.Record(first).status
  assert status['status'] == 'diverged' and status['split'] == 'train'
  kept = stacked.final_tensors(first, runs[first])
  assert kept['step'] == status['last_finite_step']
  assert all(np.isfinite(tensor).all() for tensor in kept.values())


def test_a_state_that_was_not_finite_before_its_loss_is_not_kept(tmp_path):
  """The update overflows, and the loss only of the step after it is NaN."""
  runs = stacked.group(tmp_path)
  first = next(iter(runs))
  runs[first] = stacked.config(
    **{
      'optimizer.learning_rate': 1e20,
      'optimizer.learning_rate_multiplier': 1e18,
      'optimizer.weight_decay': 1e3,
    }
  )
  stacked.train(runs)
  status = records.Record(first).status
  assert status['last_finite_step'] < status['step'] - 1
  kept = stacked.final_tensors(first, runs[first])
  assert all(np.isfinite(tensor).all() for tensor in kept.values())
  assert statuses(runs) == ['diverged'] + ['done'] * 4


@pytest.mark.parametrize('polls', [0, 7, 10, 20])
def test_members_that_were_stopped_are_continued(polls, tmp_path, lone):
  """Before the first step, after a step, and in two evaluations."""
  runs = stacked.group(tmp_path)
  assert stacked.train(runs, polls) == {}
  assert statuses(runs) == ['interrupted'] * 5
  assert len({records.Record(p).status['step'] for p in runs}) == 1
  assert stacked.train(runs) == dict.fromkeys(runs)
  for path, fields in zip(runs, NUMBERS, strict=True):
    stacked.assert_is_as_alone(path, lone, fields)


def test_a_member_that_was_stopped_is_continued_alone(tmp_path, lone):
  runs = stacked.group(tmp_path)
  stacked.train(runs, 14)
  path = list(runs)[2]
  step = records.Record(path).status['step']
  assert 5 < step < 12
  stacked.train_alone(runs[path], path)
  stacked.assert_is_as_alone(path, lone, NUMBERS[2])


def test_a_run_that_was_stopped_alone_is_continued_beside_others(
  tmp_path, lone
):
  """At another step than theirs: it is a stack of its own."""
  fields = {'seed': 5}
  path = str(tmp_path / 'stopped')
  stacked.train_alone(stacked.config(**fields), path, 6)
  assert statuses([path]) == ['interrupted']
  runs = stacked.group(tmp_path) | {path: stacked.config(**fields)}
  ended = stacked.train(runs)
  assert list(ended) == [path, *list(runs)[:-1]]
  for path, numbers in zip(runs, (*NUMBERS, fields), strict=True):
    stacked.assert_is_as_alone(path, lone, numbers)


def test_the_best_state_is_kept_beside_the_newest(tmp_path):
  runs = stacked.group(tmp_path, eval_every=1, keep_checkpoints=1)
  stacked.train(runs)
  for path in runs:
    rows = records.Record(path).metrics()
    accuracies = {
      row['step']: row['accuracy']
      for row in rows
      if row['split'] == 'validation'
    }
    best = max(accuracies, key=lambda step: (accuracies[step], -step))
    folder = records.Record(path).path / records.CHECKPOINTS
    assert {int(p.name) for p in folder.iterdir()} == {best, 12}


def test_a_member_that_cannot_be_written_fails_and_no_other(
  tmp_path, lone, monkeypatch
):
  runs = stacked.group(tmp_path)
  broken = list(runs)[1]
  write = Journal.write

  def fail(journal, step, split, values):
    if str(journal._record.path) == broken and step == 8:
      raise OSError('the disk is gone')
    write(journal, step, split, values)

  monkeypatch.setattr(Journal, 'write', fail)
  ended = stacked.train(runs)
  assert list(ended)[0] == broken and 'the disk is gone' in ended.pop(broken)
  assert set(ended.values()) == {None}
  assert statuses(runs) == ['done', 'failed', 'done', 'done', 'done']
  monkeypatch.undo()
  assert stacked.train({broken: runs[broken]}) == {broken: None}
  stacked.assert_is_as_alone(broken, lone, NUMBERS[1])


def test_a_folder_that_is_taken_is_one_failure(tmp_path):
  runs = stacked.group(tmp_path)
  taken = list(runs)[3]
  record = records.Record(taken)
  with record.locked():
    ended = stacked.train(runs, 4)
  assert list(ended) == [taken] and 'in use' in ended[taken]


def test_what_is_too_much_as_one_program_is_trained_in_parts(
  tmp_path, lone, monkeypatch, capsys
):
  def fail(*args):
    raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory')

  monkeypatch.setattr(stacks.Stack, 'run_steps', fail)
  runs = stacked.group(tmp_path)
  assert stacked.train(runs) == dict.fromkeys(runs)
  for path, fields in zip(runs, NUMBERS, strict=True):
    stacked.assert_is_as_alone(path, lone, fields)
  warnings = capsys.readouterr().err.splitlines()
  assert warnings[0].startswith('warning: 5 runs could not be trained as one')
  assert 'out of memory' in warnings[0]


def test_a_run_that_has_its_result_is_left_alone(tmp_path):
  runs = stacked.group(tmp_path)
  first, second, *_ = runs
  stacked.train_alone(runs[first], first)
  before = (records.Record(first).path / records.METRICS).stat().st_mtime_ns
  assert stacked.train({p: runs[p] for p in (first, second)}, 1) == {
    first: None
  }
  after = (records.Record(first).path / records.METRICS).stat().st_mtime_ns
  assert before == after


def test_every_member_is_announced(tmp_path):
  runs = stacked.group(tmp_path)
  watch = stacked.Watch(-1)
  list(stacked.Vectorized().train(runs, watch))
  assert watch.paths == []
  watch = stacked.Watch(4)
  list(stacked.Vectorized().train(runs, watch))
  assert watch.paths == list(runs)


def test_a_group_has_no_more_members_than_it_may(tmp_path):
  runs = stacked.group(tmp_path)
  parts = stackable.groups(runs, most=2)
  assert [len(part) for part in parts] == [1, 2, 2]
  assert [path for part in parts for path in part] == list(runs)
