import os
import signal

import numpy as np
import pytest
from swept_configs import Watch, tiny_config, tiny_runs

from normlab import records
from normlab.runtime import machine
from normlab.sweeps.runners import processes, worker
from normlab.sweeps.runners.alone import OneProcess
from normlab.sweeps.runners.processes import LocalProcesses
from normlab.sweeps.runners.worker import Share


@pytest.mark.slow
def test_processes_train_what_one_process_trains(tmp_path):
  runs = tiny_runs(tmp_path / 'pool', 0, 1, 2)
  diverging = str(tmp_path / 'pool' / 'diverging')
  runs[diverging] = tiny_config(**{'optimizer.learning_rate': 1e30})
  watch = Watch()
  ended = dict(LocalProcesses(2).train(runs, watch))
  assert ended == dict.fromkeys(runs)
  assert watch.starts == list(runs) and watch.polls
  assert records.Record(diverging).status['status'] == 'diverged'
  alone = tiny_runs(tmp_path / 'alone', 0, 1)
  assert dict(OneProcess().train(alone, Watch())) == dict.fromkeys(alone)
  for one, other in zip(runs, alone, strict=False):
    rows = zip(
      *(records.Record(p).metrics() for p in (one, other)), strict=True
    )
    # One core or more may sum in another order, so not bit for bit.
    for a, b in rows:
      np.testing.assert_allclose(a['loss'], b['loss'], rtol=1e-4)


def worker_of(path):
  """The process that holds the lock of a run."""
  for pid in filter(str.isdigit, os.listdir('/proc')):
    try:
      files = [
        os.readlink(f'/proc/{pid}/fd/{fd}')
        for fd in os.listdir(f'/proc/{pid}/fd')
      ]
    except OSError:
      continue
    if f'{path}/{records.LOCK}' in files and int(pid) != os.getpid():
      return int(pid)
  return None


@pytest.mark.slow
def test_the_death_of_a_process_is_that_of_one_run(tmp_path):
  runs = tiny_runs(tmp_path, 0, **{'total_steps': 1_000_000, 'log_every': 1})
  runs |= tiny_runs(tmp_path, 1, 2)
  long_run = next(iter(runs))
  killed = []

  class Killer(Watch):
    def poll(self):
      if not killed and records.Record(long_run).last_step() > 0:
        killed.append(worker_of(long_run))
        os.kill(killed[0], signal.SIGKILL)

  ended = dict(LocalProcesses(1).train(runs, Killer()))
  assert 'SIGKILL' in ended.pop(long_run)
  assert list(ended.values()) == [None, None]


def test_a_stop_saves_what_is_trained_and_starts_no_more(tmp_path):
  runs = tiny_runs(
    tmp_path, 0, 1, 2, **{'total_steps': 1_000_000, 'log_every': 1}
  )
  first = records.Record(next(iter(runs)))
  watch = Watch(stop=lambda _: first.last_step() > 0)
  assert list(LocalProcesses(1).train(runs, watch)) == []
  assert first.status['status'] == 'interrupted'
  assert list((first.path / records.CHECKPOINTS).iterdir())
  assert watch.starts == [str(first.path)]


def test_cores_are_dealt_in_equal_parts_and_none_is_left_without():
  assert processes.dealt([0, 1, 2, 3], 2) == [[0, 1], [2, 3]]
  assert processes.dealt([0, 1, 2], 2) == [[0], [1, 2]]
  assert processes.dealt([0, 1], 3) == [[0], [1], [0]]
  assert processes.dealt(['a'], 1) == [['a']]


def test_each_core_has_one_process(monkeypatch):
  monkeypatch.setattr(machine, 'usable_cores', lambda: [4, 6])
  assert processes.shares(2) == [Share(cores=(4,)), Share(cores=(6,))]


@pytest.mark.parametrize(
  ('seen', 'expected'),
  [('', ['0', '1']), ('3,5', ['3', '5']), ('2', ['0', '1'])],
)
def test_each_gpu_has_one_process(monkeypatch, seen, expected):
  monkeypatch.setattr(processes.jax, 'default_backend', lambda: 'gpu')
  monkeypatch.setattr(processes.jax, 'local_device_count', lambda: 2)
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', seen)
  assert processes.default_processes() == 2
  assert [share.gpu for share in processes.shares(2)] == expected


def test_a_share_is_kept_before_anything_is_computed(monkeypatch):
  kept = []
  monkeypatch.setattr(
    os, 'sched_setaffinity', lambda pid, cores: kept.append(cores)
  )
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0,1')
  worker.take_share(Share(cores=(1,), gpu='1'))
  assert kept == [(1,)] and os.environ['CUDA_VISIBLE_DEVICES'] == '1'


@pytest.mark.parametrize(
  ('code', 'words'),
  [
    (-9, ['SIGKILL', 'memory']),
    (-11, ['SIGSEGV']),
    (3, ['status 3']),
    (-99, ['99']),
  ],
)
def test_a_death_is_said_in_words(code, words):
  assert all(word in worker.death(code) for word in words)
