import contextlib
import socket
import time

import pytest

from normlab import errors
from normlab.sweeps.runners.ray import ray_address
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
  monkeypatch.setattr(ray_address, 'PATIENCE', 1)
  with listening() as port:
    problem = refusal(f'127.0.0.1:{port}')
  assert 'no Ray cluster answers in 1 seconds' in problem


def test_what_ray_says_is_one_line(monkeypatch):
  monkeypatch.setattr(
    ray_address, 'ASK', 'raise ConnectionError("no cluster " * 100)'
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
