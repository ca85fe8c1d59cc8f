import concurrent.futures
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest

from configs import base
from normlab import names, records
from normlab.sweeps import processes


def tiny_config(seed):
  config = base.get_config()
  config.seed = seed
  config.model.name = 'mlp'
  config.model.widths = (8,)
  config.total_steps = 4
  return config


def test_processes_train_what_one_process_trains(tmp_path, capsys):
  configs = {str(tmp_path / f'pool{s}'): tiny_config(s) for s in (0, 1)}
  in_pool = processes.train_all(configs, processes=2)
  alone = processes.train_all(
    {str(tmp_path / 'alone'): tiny_config(0)}, processes=1
  )
  assert [r.status['status'] for r in in_pool.values()] == ['done'] * 2
  (first, _), (other,) = in_pool.values(), alone.values()
  # One core or more may sum in another order, so not bit for bit.
  for a, b in zip(first.metrics(), other.metrics(), strict=True):
    np.testing.assert_allclose(a['loss'], b['loss'], rtol=1e-4)
  lines = capsys.readouterr().err
  assert '[1/2]' in lines and '[2/2]' in lines


def test_finished_runs_are_not_trained_again(tmp_path, capsys):
  configs = {str(tmp_path / 'run'): tiny_config(0)}
  processes.train_all(configs, processes=1)
  path = tmp_path / 'run' / records.METRICS
  before = path.stat().st_mtime_ns
  found = processes.train_all(configs, processes=1)
  assert path.stat().st_mtime_ns == before
  assert [r.is_finished for r in found.values()] == [True]


def test_a_failed_run_does_not_stop_the_others(tmp_path, capsys, monkeypatch):
  train = processes.trainer.train

  def broken(config, path, **kwargs):
    if path.endswith('bad'):
      raise OSError('no space left')
    return train(config, path, **kwargs)

  monkeypatch.setattr(processes.trainer, 'train', broken)
  configs = {str(tmp_path / n): tiny_config(0) for n in ('bad', 'good')}
  found = processes.train_all(configs, processes=1)
  assert [r.is_finished for r in found.values()] == [False, True]
  assert 'no space left' in capsys.readouterr().err


def test_a_worker_that_died_is_said_in_words():
  future = concurrent.futures.Future()
  future.set_exception(BrokenProcessPool('terminated abruptly'))
  with pytest.raises(records.RecordError, match='finished runs are kept'):
    processes._result(future)


def test_all_configs_are_checked_before_the_first_run(tmp_path):
  configs = {str(tmp_path / 'a'): tiny_config(0)}
  configs[str(tmp_path / 'b')] = tiny_config(-1)
  with pytest.raises(names.ConfigError, match='seed'):
    processes.train_all(configs, processes=1)
  assert not list(tmp_path.iterdir())
