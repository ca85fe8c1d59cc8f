import contextlib
import socket
import time

import pytest

from normlab import errors
from normlab.sweeps.runners.ray import ray_nodes
from normlab.sweeps.runners.ray.ray_cluster import RayCluster

pytest.importorskip('ray')


@contextlib.contextmanager
def listening():
  """A port that accepts and never speaks."""
  with socket.socket() as silent:
    silent.bind(('127.0.0.1', 0))
    silent.listen()
    yield silent.getsockname()[1]


def refusal(address):
  """What is said about an address."""
  start = time.monotonic()
  with pytest.raises(errors.ConfigError) as caught:
    RayCluster(address).check({})
  (problem,) = caught.value.problems
  assert f'--address={address!r}' in problem
  assert "'auto'" in problem and 'HOST:PORT' in problem
  assert time.monotonic() - start < 10
  return problem


def test_a_port_that_refuses_is_said_at_once():
  with listening() as port:
    pass
  assert 'refused' in refusal(f'127.0.0.1:{port}')


def test_a_port_that_never_speaks_is_not_waited_for(monkeypatch):
  monkeypatch.setattr(ray_nodes, 'PATIENCE', 1)
  with listening() as port:
    problem = refusal(f'127.0.0.1:{port}')
  assert 'no Ray cluster answers in 1 seconds' in problem


def test_what_ray_says_is_one_line(monkeypatch):
  monkeypatch.setattr(
    ray_nodes, 'ASK', 'raise ConnectionError("no cluster " * 100)'
  )
  problem = refusal('auto')
  assert 'ConnectionError: no cluster' in problem and len(problem) < 600


@pytest.mark.parametrize(
  'address',
  ['', 'host', 'host:', ':6379', 'host:port', 'a:0', 'a:65536', 'a:1:2']
  + ['ray://a:10001', 'a b:1', 'http://a:1', 6379, None],
)
def test_what_is_no_address_is_refused(address):
  assert 'not HOST:PORT' in refusal(address)


@pytest.mark.parametrize(
  'asked',
  [
    *({'num_cpus': bad} for bad in (-1, 1.5, float('nan'))),
    {'num_gpus': 2.5},
    {'num_cpus': 0},
  ],
)
def test_amounts_that_no_task_can_have_are_refused(asked):
  with pytest.raises(errors.ConfigError, match=f'--{[*asked][0]}=.*allowed'):
    RayCluster('127.0.0.1:1', **asked).check({})


@pytest.mark.parametrize(
  ('asked', 'fits'),
  [
    ({'CPU': 4}, True),
    ({'CPU': 0.1}, True),
    ({'CPU': 2, 'GPU': 0.5}, True),
    ({'CPU': 4, 'GPU': 1}, False),
    ({'GPU': 2}, False),
    ({'CPU': 64}, False),
  ],
)
def test_a_run_needs_one_node_that_has_all_it_asks_for(asked, fits):
  nodes = [
    {'Alive': True, 'Resources': {'CPU': 2.0, 'GPU': 1.0}},
    {'Alive': True, 'Resources': {'CPU': 4.0}},
    {'Alive': False, 'Resources': {'CPU': 64.0, 'GPU': 8.0}},
  ]
  assert (ray_nodes.lacking(asked, nodes) is None) == fits


def test_a_cluster_that_has_lost_its_nodes_for_long_is_a_problem(monkeypatch):
  class Ray:
    alive = True

    def nodes(self):
      return [{'Alive': self.alive, 'Resources': {'CPU': 2.0}}]

  clock = iter(range(0, 10_000, 10))
  monkeypatch.setattr(ray_nodes.time, 'monotonic', lambda: next(clock))
  ray = Ray()
  room = ray_nodes.Room(ray, {'CPU': 1})
  assert [room.problem() for _ in range(20)] == [None] * 20
  ray.alive = False
  problems = [room.problem() for _ in range(20)]
  assert problems[0] is None and 'none is alive' in problems[-1]
