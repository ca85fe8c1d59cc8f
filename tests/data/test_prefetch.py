import contextlib
import itertools
import json
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import grain
import jax
import jpeg_dataset
import numpy as np
import pytest
from jax._src import xla_bridge

from normlab import data, errors
from normlab.data.streaming import prefetch

OPTIONS = {'batch_size': 8, 'image_size': 16}
# The parent is killed; what it started must go by itself.
ORPHANS = """
import multiprocessing, os, sys, time
from normlab import data

if __name__ == '__main__':
  stream = data.TrainStream(
    'imagenette', sys.argv[1], batch_size=8, image_size=16, workers=1
  )
  next(stream)
  print(*[child.pid for child in multiprocessing.active_children()], flush=True)
  time.sleep(60)
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('streamed')
  jpeg_dataset.write(folder, num_classes=64)
  return str(folder)


@pytest.fixture
def marks(tmp_path, monkeypatch):
  """The folder of the files that open streams have."""
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
  return tmp_path


def is_alive(pid):
  with contextlib.suppress(FileNotFoundError):
    state = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')')[1]
    return state.split()[0] not in 'ZX'
  return False


def wait_until(condition):
  end = time.monotonic() + 60
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.02)


class Facts(NamedTuple):
  pid: np.ndarray
  backends: np.ndarray


def facts(row):
  """What a worker knows of accelerators."""
  if row == 3:
    raise errors.ConfigError('row 3 is damaged')
  initialized = xla_bridge.backends_are_initialized()
  allowed = jax.config.jax_platforms == 'cpu'
  return Facts(np.array(os.getpid()), np.array([initialized, allowed]))


def test_workers_change_nothing_and_leave_signals_to_the_parent(folder):
  def stream(workers):
    return data.TrainStream('imagenette', folder, workers=workers, **OPTIONS)

  threads, workers = stream(0), stream(2)
  expected = list(itertools.islice(threads, 10))
  next(workers)
  children = multiprocessing.active_children()
  assert len(children) == 2
  for child, stop in itertools.product(
    children, (signal.SIGINT, signal.SIGTERM)
  ):
    os.kill(child.pid, stop)
  for position in range(1, 7):
    jax.tree.map(
      np.testing.assert_array_equal, next(workers), expected[position]
    )
  # The state of workers in threads.
  threads.set_state(json.loads(json.dumps(workers.get_state())))
  jax.tree.map(np.testing.assert_array_equal, next(threads), expected[7])
  # Arrays own their memory: nothing is left in the shared one.
  batch = next(workers)
  assert type(batch.images) is np.ndarray and batch.images.base is None
  os.kill(children[0].pid, signal.SIGKILL)
  with pytest.raises(RuntimeError, match='terminated unexpectedly'):
    list(itertools.islice(workers, 20))
  workers.close()
  threads.close()
  assert not multiprocessing.active_children()


def test_workers_use_no_accelerator_and_their_errors_arrive(marks, monkeypatch):
  # Through pipes, as where shared memory has no room.
  monkeypatch.setattr(prefetch, 'fits_shared_memory', lambda size: False)

  def build(mark):
    return grain.MapDataset.range(4).map(facts)

  ahead = prefetch.Prefetch(build, workers=1, element_bytes=8)
  assert len(list(marks.iterdir())) == 1
  found = [next(ahead) for _ in range(3)]
  assert {fact.pid != os.getpid() for fact in found} == {True}
  assert {tuple(fact.backends.tolist()) for fact in found} == {(False, True)}
  with pytest.raises(errors.ConfigError, match='row 3 is damaged'):
    next(ahead)
  ahead.close()
  assert not is_alive(found[0].pid)
  assert not list(marks.iterdir())


def test_workers_die_with_a_killed_parent(folder, tmp_path, root):
  shared = pathlib.Path(prefetch.SHARED_MEMORY)
  before = set(shared.glob('psm_*'))
  script = tmp_path / 'orphans.py'
  script.write_text(ORPHANS)
  environment = os.environ | {'TMPDIR': str(tmp_path), 'PYTHONPATH': str(root)}
  parent = subprocess.Popen(
    [sys.executable, script, folder],
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    env=environment,
  )
  children = [int(pid) for pid in parent.stdout.readline().split()]
  assert len(children) == 1 and is_alive(children[0])
  parent.kill()
  parent.wait()
  parent.stdout.close()
  wait_until(lambda: not is_alive(children[0]))
  wait_until(lambda: not list(tmp_path.glob('normlab_stream_*')))
  # Of Python's resource tracker, which outlives them.
  wait_until(lambda: not set(shared.glob('psm_*')) - before)


@pytest.mark.parametrize('finish', ['close', 'forget'])
def test_threads_stop_between_two_images(finish, marks):
  seen = []

  def build(mark):
    def image(row):
      if not os.path.exists(mark):
        raise ValueError('closed')
      seen.append(row)
      time.sleep(0.01)
      return np.array(row)

    return grain.MapDataset.range(10_000).map(image).batch(1_000)

  ahead = prefetch.Prefetch(build, workers=0, element_bytes=8)
  wait_until(lambda: len(seen) > 3)
  if finish == 'close':
    ahead.close()
  del ahead
  assert not list(marks.iterdir())
  time.sleep(0.05)
  count = len(seen)
  time.sleep(0.1)
  assert len(seen) == count


def test_room_in_shared_memory_is_asked_for(monkeypatch):
  assert prefetch.fits_shared_memory(0)
  assert not prefetch.fits_shared_memory(2**60)
  monkeypatch.setattr(prefetch, 'SHARED_MEMORY', '/nowhere')
  assert prefetch.fits_shared_memory(2**60)
