"""What holds for any runner: here one that does what a test wants."""

import errno
import os
import pathlib

import pytest
from swept_configs import tiny_config, tiny_runs

from normlab import errors, records
from normlab.runtime import interruption
from normlab.sweeps.runners.alone import OneProcess
from normlab.sweeps.runners.interface import Ended
from normlab.sweeps.runners.processes import LocalProcesses
from normlab.sweeps.runners.stacked.vectorized import Vectorized
from normlab.sweeps.train_all import train_all


class Scripted:
  """A runner whose runs end as `ends` says, attempt by attempt."""

  def __init__(self, **ends):
    self.ends = ends
    self.attempts = []

  def check(self, runs):
    pass

  def train(self, runs, watch):
    for path, config in runs.items():
      name = path.rpartition('/')[2]
      self.attempts.append(name)
      watch.started(path)
      end = self.ends.get(name, ['done'])
      problem = end.pop(0) if len(end) > 1 else end[0]
      if problem == 'stop':
        return
      if problem in records.FINISHED:
        records.Record(path).write_config(config)
        records.Record(path).write_status(problem, step=4, rows=0)
        problem = None
      yield Ended(path, problem)


def statuses(found):
  return [record.status['status'] for record in found.values()]


def test_a_failed_run_is_tried_once_more_after_all_others(tmp_path, capsys):
  runner = Scripted(run0=['disk', 'done'], run1=['done'])
  found = train_all(tiny_runs(tmp_path, 0, 1), runner=runner)
  assert runner.attempts == ['run0', 'run1', 'run0']
  assert statuses(found) == ['done', 'done']
  assert 'tried once more: disk' in capsys.readouterr().err


def test_a_run_that_fails_twice_is_left_with_its_error(tmp_path, capsys):
  runner = Scripted(run0=['disk'], run1=['diverged'])
  found = train_all(tiny_runs(tmp_path, 0, 1), runner=runner)
  assert runner.attempts == ['run0', 'run1', 'run0']
  assert statuses(found) == ['failed', 'diverged']
  first, _ = found.values()
  assert first.status['error'] == 'disk'
  assert '[2/2] run0: failed: disk' in capsys.readouterr().err


def test_started_again_a_failed_run_is_tried_once(tmp_path):
  train_all(tiny_runs(tmp_path, 0), runner=Scripted(run0=['disk']))
  again = Scripted(run0=['disk'])
  train_all(tiny_runs(tmp_path, 0), runner=again)
  assert again.attempts == ['run0']


def test_finished_runs_are_not_trained_again(tmp_path, capsys):
  runs = tiny_runs(tmp_path, 0, 1)
  train_all(runs, runner=Scripted(run0=['diverged']))
  again = Scripted()
  found = train_all(runs, runner=again)
  assert not again.attempts
  assert [record.is_finished for record in found.values()] == [True, True]
  assert '2 runs finished before' in capsys.readouterr().err
  # Whatever would have trained them.
  train_all(runs, runner=LocalProcesses(2))
  words = capsys.readouterr().err
  assert '2 runs finished before' in words and 'to train' not in words


def test_an_interruption_says_how_many_runs_are_left(tmp_path):
  runner = Scripted(run1=['stop'])
  with pytest.raises(interruption.InterruptedSweep, match='2 of 3 runs'):
    train_all(
      tiny_runs(tmp_path, 0, 1, 2),
      runner=runner,
      stop=lambda: len(runner.attempts) > 1,
    )


def test_everything_is_checked_before_the_first_run(tmp_path):
  runner = Scripted()
  bad = {str(tmp_path / 'bad'): tiny_config(-1)}
  with pytest.raises(errors.ConfigError, match='seed'):
    train_all(tiny_runs(tmp_path, 0) | bad, runner=runner)
  assert not runner.attempts and not list(tmp_path.iterdir())


def test_a_runner_that_cannot_run_leaves_nothing_behind(tmp_path):
  class Without(Scripted):
    def check(self, runs):
      raise errors.ConfigError('no cluster')

  with pytest.raises(errors.ConfigError, match='no cluster'):
    train_all(tiny_runs(tmp_path, 0), runner=Without())
  assert not list(tmp_path.iterdir())


def test_the_status_of_a_run_that_others_train_is_left_alone(tmp_path):
  runs = tiny_runs(tmp_path, 0)
  (record,) = (records.Record(path) for path in runs)
  with record.locked():
    record.write_config(next(iter(runs.values())))
    record.write_status('running')
    train_all(runs, runner=OneProcess())
    assert record.status == {'status': 'running'}


def test_a_status_that_is_damaged_is_trained_anew(tmp_path):
  runs = tiny_runs(tmp_path, 0, 1)
  first = records.Record(next(iter(runs)))
  train_all(tiny_runs(tmp_path, 0), runner=OneProcess())
  (first.path / records.STATUS).write_text('{')
  found = train_all(runs, runner=OneProcess())
  assert [record.is_finished for record in found.values()] == [True, True]


def test_the_display_counts_every_outcome(tmp_path, capsys):
  runner = Scripted(run0=['diverged'], run1=['disk'], run2=['done'])
  train_all(tiny_runs(tmp_path, 0, 1, 2), runner=runner)
  lines = capsys.readouterr().err
  assert '3 runs to train' in lines
  assert '[1/3] run0: diverged at step 4, best validation accuracy –' in lines
  assert '[3/3] run1: failed: disk' in lines
  assert ' so far, about ' in lines


def test_a_process_that_died_before_it_wrote_anything_can_be_retried(tmp_path):
  runs = tiny_runs(tmp_path, 0)
  train_all(runs, runner=Scripted(run0=['killed']))
  (record,) = train_all(runs, runner=OneProcess()).values()
  assert record.is_finished


@pytest.mark.parametrize('runner', [OneProcess, Vectorized])
def test_a_run_whose_rows_cannot_be_opened_fails_and_no_other(tmp_path, runner):
  runs = tiny_runs(tmp_path, 0, 1)
  broken = records.Record(next(iter(runs)))
  (broken.path / records.METRICS).mkdir(parents=True)
  broken.write_config(runs[str(broken.path)])
  found = train_all(runs, runner=runner())
  assert statuses(found) == ['failed', 'done']
  assert 'directory' in broken.status['error']


@pytest.mark.parametrize('code', [errno.EACCES, errno.EIO])
def test_rows_that_cannot_be_read_stop_no_other_run(
  tmp_path, monkeypatch, code
):
  def opened(path, *args, open=pathlib.Path.open, **fields):
    if path == tmp_path / 'run0' / records.METRICS:
      raise OSError(code, os.strerror(code), str(path))
    return open(path, *args, **fields)

  monkeypatch.setattr(pathlib.Path, 'open', opened)
  runner = Scripted(run0=['unreadable'])
  found = train_all(tiny_runs(tmp_path, 0, 1), runner=runner)
  assert runner.attempts == ['run0', 'run1', 'run0']
  assert statuses(found) == ['failed', 'done']


def test_a_folder_that_cannot_be_used_is_left_as_it_is(tmp_path, capsys):
  runs = tiny_runs(tmp_path, 0, 1, 2, 3)
  damaged, file, *_ = map(records.Record, runs)
  damaged.path.mkdir()
  (damaged.path / records.CONFIG).write_text('{')
  file.path.touch()
  runner = Scripted()
  found = train_all(runs, runner=runner)
  assert runner.attempts == ['run2', 'run3']
  assert [record.is_finished for record in found.values()] == [0, 0, 1, 1]
  lines = capsys.readouterr().err.splitlines()
  assert lines[0] == '2 runs to train'
  assert lines[1].startswith(f"left out: '{damaged.path / records.CONFIG}'")
  assert lines[2].startswith(f"left out: workdir '{file.path}'")
  assert [path.name for path in damaged.path.iterdir()] == [records.CONFIG]


def test_nothing_is_trained_where_no_folder_can_be_used(tmp_path):
  (tmp_path / 'file').touch()
  runner = Scripted()
  with pytest.raises(records.RecordError, match=r"'.*/file' is a file"):
    train_all(tiny_runs(tmp_path / 'file', 0, 1), runner=runner)
  assert not runner.attempts


def test_a_run_whose_rows_are_damaged_when_it_has_ended_has_failed(
  tmp_path, capsys
):
  class Damaging(Scripted):
    def train(self, runs, watch):
      for ended in super().train(runs, watch):
        (records.Record(ended.path).path / records.METRICS).mkdir()
        yield ended

  train_all(tiny_runs(tmp_path, 0), runner=Damaging())
  assert '[1/1] run0: failed: ' in capsys.readouterr().err
