"""Which steps are traced, and that the files can be opened."""

import gzip
import json

import jax
import jax.numpy as jnp
import pytest

from normlab.runtime.profiling import Profiler


class Traces:
  """Notes what the profiler of JAX is told, and when."""

  def __init__(self):
    self.step, self.told = 0, []

  def start_trace(self, folder, *, create_perfetto_trace):
    assert create_perfetto_trace
    self.told.append(('start', self.step))

  def stop_trace(self):
    self.told.append(('stop', self.step))


@pytest.fixture
def traces(monkeypatch):
  traces = Traces()
  for name in ('start_trace', 'stop_trace'):
    monkeypatch.setattr(jax.profiler, name, getattr(traces, name))
  return traces


def act(profiler, step):
  """Does between two calls what is due."""
  if profiler.ends(step):
    profiler.close(step)
  if profiler.starts(step):
    profiler.start(step)


def profile(traces, *, start, total, per_call=1, enabled=True):
  """The calls of a run; returns the steps of start and end of the trace."""
  profiler = Profiler('', enabled=enabled, start=start, total_steps=total)
  for traces.step in (*range(start, total, per_call), total):
    act(profiler, traces.step)
  profiler.close()
  return traces.told


@pytest.mark.parametrize(
  'start, total, expected',
  [
    (0, 1_000, (10, 20)),
    # A resumed run compiles and warms up again.
    (500, 1_000, (510, 520)),
    # Short ones: the last ten steps, or all there are.
    (0, 15, (5, 15)),
    (0, 10, (0, 10)),
    (0, 4, (0, 4)),
    (990, 1_000, (990, 1_000)),
    (997, 1_000, (997, 1_000)),
  ],
)
def test_ten_steps_after_the_first_ten_are_traced(
  traces, start, total, expected
):
  told = profile(traces, start=start, total=total)
  assert told == list(zip(('start', 'stop'), expected, strict=True))


def test_calls_of_many_steps_are_traced_whole(traces):
  told = profile(traces, start=0, total=100, per_call=25)
  assert told == [('start', 25), ('stop', 50)]


def test_nothing_is_traced_unless_asked(traces):
  assert profile(traces, start=0, total=100, enabled=False) == []


def test_run_without_steps_left_is_not_traced(traces):
  assert profile(traces, start=100, total=100) == []


def test_run_that_breaks_off_ends_its_trace_once(traces):
  profiler = Profiler('', enabled=True, start=0, total_steps=100)
  act(profiler, 12)
  profiler.close()
  profiler.close()
  assert [word for word, _ in traces.told] == ['start', 'stop']


def test_trace_can_be_opened(tmp_path):
  profiler = Profiler(tmp_path, enabled=True, start=0, total_steps=10)
  step = jax.jit(lambda x: x * 2 + 1)
  act(profiler, 0)
  step(jnp.ones(3)).block_until_ready()
  profiler.close()
  (folder,) = (tmp_path / 'plugins' / 'profile').iterdir()
  # TensorBoard's profiler reads the first.
  assert list(folder.glob('*.xplane.pb'))
  with gzip.open(folder / 'perfetto_trace.json.gz', 'rt') as file:
    trace = json.load(file)
  assert trace['traceEvents']
