import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from swept_configs import Watch, tiny_config, tiny_runs

from normlab import errors, records
from normlab.sweeps.runners.alone import OneProcess
from normlab.sweeps.runners.ray import ray_cluster
from normlab.sweeps.runners.ray.ray_cluster import RayCluster

NODE = {
  'object_store_memory': 80_000_000,
  'include_dashboard': False,
}
LONG = {
  'total_steps': 3000,
  'eval_every': 1000,
  'log_every': 100,
  'checkpoint_every': 100,
}


@pytest.fixture(scope='module')
def cluster(tmp_path_factory):
  """A cluster of one node; nodes that are added train as well."""
  cluster_utils = pytest.importorskip('ray.cluster_utils')
  cache = str(tmp_path_factory.mktemp('cache'))
  with pytest.MonkeyPatch.context() as patch:
    # What the nodes inherit: without the eight devices, a step is four times
    # as fast.
    patch.setenv('XLA_FLAGS', '--xla_backend_optimization_level=1')
    patch.setenv('JAX_COMPILATION_CACHE_DIR', cache)
    patch.setenv('RAY_USAGE_STATS_ENABLED', '0')
    made = cluster_utils.Cluster(
      initialize_head=True, head_node_args={'num_cpus': 1, **NODE}
    )
    yield made
    made.shutdown()


def processes_of(node):
  """Its raylet and what that has started."""
  raylet = node.all_processes['raylet'][0].process.pid
  listing = subprocess.run(
    ['ps', '--ppid', str(raylet), '-o', 'pid='], capture_output=True, text=True
  )
  return [raylet, *map(int, listing.stdout.split())]


def has_open(pid, file):
  """Whether a process has a file open."""
  with contextlib.suppress(OSError):
    folder = f'/proc/{pid}/fd'
    return str(file) in [
      os.readlink(f'{folder}/{f}') for f in os.listdir(folder)
    ]
  return False


def has_checkpoint(record):
  folder = record.path / records.CHECKPOINTS
  return folder.is_dir() and any(p.name.isdigit() for p in folder.iterdir())


class Killer(Watch):
  """Ends a worker, or all of its node, when a run there has a checkpoint."""

  def __init__(self, node, runs, *, whole_node):
    super().__init__()
    self.node, self.whole_node = node, whole_node
    self.records = [records.Record(path) for path in runs]
    self.killed = None
    self.started_again_at = None

  def poll(self):
    if self.killed is None:
      pids = processes_of(self.node)
      for record in filter(has_checkpoint, self.records):
        holders = [p for p in pids if has_open(p, record.path / records.LOCK)]
        if holders:
          self.killed, self.at = record, time.time()
          for pid in pids if self.whole_node else holders:
            os.kill(pid, signal.SIGKILL)
          return
    elif self.started_again_at is None:
      if (self.killed.path / records.CONFIG).stat().st_mtime > self.at:
        self.started_again_at = self.killed.last_step()


@pytest.mark.slow
def test_runs_of_a_node_that_dies_are_continued_elsewhere(cluster, tmp_path):
  # Of one config: what was never disturbed says what the others must be.
  runs = {str(tmp_path / f'run{i}'): tiny_config(**LONG) for i in range(3)}
  node = cluster.add_node(num_cpus=1, **NODE)
  watch = Killer(node, runs, whole_node=True)
  ended = list(RayCluster(cluster.address).train(runs, watch))
  assert sorted(ended) == [(path, None) for path in runs]
  assert sorted(watch.starts) == [*runs]
  assert watch.killed is not None
  assert watch.started_again_at >= LONG['checkpoint_every']
  rows, *others = (records.Record(path).metrics() for path in runs)
  assert others == [rows, rows]
  steps = [(row['step'], row['split']) for row in rows]
  assert len({*steps}) == len(steps) and steps[-1] == (3000, 'test')


@pytest.mark.slow
def test_nodes_find_own_code_beside_the_config(cluster, tmp_path):
  (tmp_path / 'code_for_nodes.py').write_text('def half(x): return x / 2\n')
  config = tiny_config(
    **{'model.activation': 'code_for_nodes:half', 'code_dir': str(tmp_path)}
  )
  run = str(tmp_path / 'run')
  (ended,) = RayCluster(cluster.address).train({run: config}, Watch())
  assert ended.problem is None
  assert records.Record(run).status['status'] == 'done'


@pytest.mark.slow
def test_a_run_that_fails_dies_or_diverges_stops_no_other(
  cluster, tmp_path, monkeypatch
):
  monkeypatch.setattr(ray_cluster, 'RETRIES', 0)
  (tmp_path / 'file').touch()
  failing = str(tmp_path / 'file' / 'run')
  dying = str(tmp_path / 'dying')
  diverging = str(tmp_path / 'diverging')
  runs = {
    failing: tiny_config(),
    dying: tiny_config(**{**LONG, 'total_steps': 1_000_000}),
    diverging: tiny_config(**{'optimizer.learning_rate': 1e30}),
    **tiny_runs(tmp_path, 0),
  }
  watch = Killer(cluster.head_node, [dying], whole_node=False)
  ended = dict(RayCluster(cluster.address, num_cpus=0.5).train(runs, watch))
  assert 'is a file' in ended.pop(failing)
  assert 'lost on the cluster' in (text := ended.pop(dying)), text
  assert ended == dict.fromkeys([*runs][2:])
  assert records.Record(diverging).status['status'] == 'diverged'
  alone = tiny_runs(tmp_path / 'alone', 0)
  assert dict(OneProcess().train(alone, Watch())) == dict.fromkeys(alone)
  rows, expected = (
    records.Record(folder / 'run0').metrics()
    for folder in (tmp_path, tmp_path / 'alone')
  )
  for one, other in zip(rows, expected, strict=True):
    np.testing.assert_allclose(one['loss'], other['loss'], rtol=1e-4)


@pytest.mark.slow
def test_a_stop_saves_what_is_trained_and_a_start_continues_it(
  cluster, tmp_path
):
  runs = tiny_runs(tmp_path, 0, 1, **LONG)
  one, other = map(records.Record, runs)
  handler = signal.getsignal(signal.SIGTERM)
  runner = RayCluster(cluster.address, num_cpus=1)
  stopping = Watch(stop=lambda _: has_checkpoint(one) or has_checkpoint(other))
  assert list(runner.train(runs, stopping)) == []
  assert signal.getsignal(signal.SIGTERM) == handler
  (started,) = stopping.starts
  status = records.Record(started).status
  assert status['status'] == 'interrupted' and status['step'] >= 100
  watch = Watch()
  assert dict(runner.train(runs, watch)) == dict.fromkeys(runs)
  for record in (one, other):
    rows = [(row['step'], row['split']) for row in record.metrics()]
    assert len({*rows}) == len(rows) and record.last_step() == 3000


@pytest.mark.slow
def test_what_no_node_has_is_an_error_and_not_a_wait(cluster, monkeypatch):
  monkeypatch.setenv('RAY_ADDRESS', cluster.address)
  RayCluster('auto').check({})
  for asked, words in [
    ({'num_cpus': 1000}, 'CPU: 1000'),
    ({'num_gpus': 1}, 'GPU: 1'),
  ]:
    with pytest.raises(errors.ConfigError, match=words) as caught:
      RayCluster('auto', **asked).check({})
    assert 'its nodes have CPU: 1' in str(caught.value)


def test_without_ray_the_error_says_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, 'ray', None)
  with pytest.raises(errors.ConfigError, match=r"pip install -e '.\[ray\]'"):
    RayCluster().check({})


def test_the_runner_is_imported_without_ray():
  code = (
    'import sys; sys.modules["ray"] = sys.modules["grpc"] = None; '
    'import normlab.sweeps.runners.ray.ray_cluster'
  )
  subprocess.run([sys.executable, '-c', code], check=True)


def test_a_lost_run_is_described_in_a_short_line():
  error = RuntimeError('the worker\n\ndied ' + 'of something ' * 100)
  text = ray_cluster.lost(error)
  assert 'the worker died' in text and '3 retries' in text
  error.cause = ModuleNotFoundError("No module named 'normlab'")
  assert ray_cluster.lost(error) == (
    "failed on the cluster: ModuleNotFoundError: No module named 'normlab'"
  )
  assert len(text) < 400 and '\n' not in text


def test_workers_compute_with_what_their_run_has_asked_for(monkeypatch, root):
  monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', '/cache')
  assert RayCluster(num_cpus=2)._variables() == {
    'JAX_COMPILATION_CACHE_DIR': '/cache',
    'JAX_PLATFORMS': 'cpu',
    'NPROC': '2',
    'PYTHONPATH': str(root),
  }
  on_gpu = RayCluster(num_cpus=0.5, num_gpus=0.25)._variables()
  assert 'JAX_PLATFORMS' not in on_gpu and on_gpu['NPROC'] == '1'
  assert on_gpu['XLA_PYTHON_CLIENT_MEM_FRACTION'] == '0.2250'
