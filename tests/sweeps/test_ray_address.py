import contextlib
import socket
import time
from concurrent import futures

import grpc
import pytest

from normlab import errors
from normlab.sweeps.runners.ray import ray_address
from normlab.sweeps.runners.ray.ray_cluster import RayCluster


@contextlib.contextmanager
def listening(backlog=8):
  """A port that accepts and never speaks."""
  with socket.socket() as silent:
    silent.bind(('127.0.0.1', 0))
    silent.listen(backlog)
    yield silent.getsockname()[1]


def refusal(address, patience=10.0):
  """What is said about an address, and how long it took."""
  start = time.monotonic()
  with pytest.raises(errors.ConfigError) as caught:
    RayCluster(address, patience=patience).check({})
  (problem,) = caught.value.problems
  assert f'--address={address!r}' in problem
  assert "'auto'" in problem and 'HOST:PORT' in problem
  return problem, time.monotonic() - start


def test_a_port_that_refuses_is_said_at_once():
  with listening() as port:
    pass
  problem, seconds = refusal(f'127.0.0.1:{port}')
  assert 'refused' in problem and seconds < 5


def test_a_port_that_never_speaks_is_not_waited_for():
  with listening() as port:
    problem, seconds = refusal(f'127.0.0.1:{port}', patience=1)
  assert 'no Ray cluster answers' in problem and seconds < 5


def test_a_server_that_is_no_head_is_recognized():
  server = grpc.server(futures.ThreadPoolExecutor(1))
  port = server.add_insecure_port('127.0.0.1:0')
  server.start()
  problem, seconds = refusal(f'127.0.0.1:{port}')
  server.stop(None)
  assert 'not the head of a Ray cluster' in problem and seconds < 5


def test_a_name_that_nobody_resolves_is_not_waited_for(monkeypatch):
  monkeypatch.setattr(
    ray_address.socket, 'create_connection', lambda *_, **__: time.sleep(3)
  )
  problem, seconds = refusal('far.away:6379', patience=0.5)
  assert 'no answer in 0.5 seconds' in problem and seconds < 3


def test_auto_without_a_cluster_is_said_at_once(monkeypatch):
  services = pytest.importorskip('ray._private.services')
  monkeypatch.delenv('RAY_ADDRESS', raising=False)
  monkeypatch.setattr(services, 'find_gcs_addresses', frozenset)
  monkeypatch.setattr(services, 'find_bootstrap_address', lambda _: None)
  problem, seconds = refusal('auto')
  assert 'no cluster runs on this machine' in problem and seconds < 5


def test_a_machine_that_is_no_node_is_told_so_at_once(monkeypatch):
  services = pytest.importorskip('ray._private.services')
  if not hasattr(services, 'find_node_ids'):
    pytest.skip('this Ray finds nodes in another way')
  monkeypatch.setattr(ray_address, 'ask', lambda *_: None)
  monkeypatch.setattr(services, 'find_node_ids', set)
  problem, seconds = refusal('192.0.2.7:6379')
  assert 'this machine is no node of it' in problem and seconds < 5


@pytest.mark.parametrize(
  'address',
  ['', 'host', 'host:', ':6379', 'host:port', 'a:0', 'a:65536', 'a:1:2']
  + ['ray://a:10001', 'a b:1', 'http://a:1', 6379, None],
)
def test_what_is_no_address_is_refused(address):
  problem, seconds = refusal(address)
  assert 'is not HOST:PORT' in problem and seconds < 5


def test_an_address_is_taken_apart():
  assert ray_address.parsed('head.local:6379') == ('head.local', 6379)
  assert ray_address.parsed('[fd00::2]:6379') == ('fd00::2', 6379)


def test_ray_is_given_loopback_in_a_form_that_it_leaves_alone():
  services = pytest.importorskip('ray._private.services')
  for host in ray_address.LOOPBACK:
    form, _ = ray_address.forms(host)
    given = ray_address.joined(form, 6379)
    assert services.canonicalize_bootstrap_address(given) == given
  assert ray_address.forms('192.0.2.7') == ['192.0.2.7']
