"""The address of a Ray cluster, checked before Ray itself tries it.

Ray waits for minutes at an address that does not answer, or ends the process.
"""

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable

from normlab import errors

# Seconds that a cluster has to answer.
PATIENCE = 10.0
# Any cluster has this call, and nothing but the head of one.
CALL = '/ray.rpc.NodeInfoGcsService/GetClusterId'
ALLOWED = (
  "'auto' for the cluster of this machine, or HOST:PORT of a cluster's head; "
  '`ray start --head` starts one'
)
LOOPBACK = ('127.0.0.1', 'localhost', '::1')


class Silent(Exception):
  """Why an address cannot be used, in words."""


def reachable(address: str, *, patience: float = PATIENCE) -> str:
  """The address of a cluster that answers, as HOST:PORT for `ray.init`.

  Args:
    address: 'auto', or HOST:PORT.
    patience: seconds to wait for an answer.

  Raises:
    errors.ConfigError: nobody answers there, or it is no address; or this
      machine is no node of a cluster.
  """
  try:
    host, port = parsed(found(address) if address == 'auto' else address)
    head = within(patience, lambda: answering(host, port, patience))
    check_is_node()
    return head
  except Silent as silent:
    raise errors.ConfigError(
      f'--address={errors.shown(address)}: {silent}; allowed: {ALLOWED}'
    ) from None


def found(address: str) -> str:
  """The address that 'auto' means on this machine, as Ray finds it.

  Raises:
    Silent: nothing.
  """
  from ray._private import services

  try:
    return services.get_ray_address_from_environment(address, None)
  except ConnectionError:
    raise Silent('no cluster runs on this machine') from None


def parsed(address: str) -> tuple[str, int]:
  """Host, without brackets, and port.

  Raises:
    Silent: it is not HOST:PORT.
  """
  form = r'(\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})'
  match = re.fullmatch(form, address) if isinstance(address, str) else None
  if match is None or not 0 < int(match[2]) < 2**16:
    shown = errors.shown(address)
    raise Silent(f'{shown} is not HOST:PORT with a port from 1 to 65535')
  return match[1].strip('[]'), int(match[2])


def check_is_node() -> None:
  """Ray would wait a minute for a node of the cluster on this machine.

  Raises:
    Silent: there is none.
  """
  from ray._private import services

  if hasattr(services, 'find_node_ids') and not services.find_node_ids():
    raise Silent(
      'a cluster answers, but this machine is no node of it; `ray start '
      '--address=HOST:PORT` makes it one'
    )


def within(seconds: float, work: Callable[[], str]) -> str:
  """The result of `work` if it comes in time: looking up a name may take long.

  Raises:
    Silent: that of `work`; or it takes too long.
  """
  results, problems = [], []

  def run() -> None:
    try:
      results.append(work())
    except Exception as error:
      problems.append(error)

  thread = threading.Thread(target=run, daemon=True)
  thread.start()
  thread.join(seconds + 0.2)
  if problems:
    raise problems[0]
  if not results:
    raise Silent(f'no answer in {seconds:g} seconds')
  return results[0]


def answering(host: str, port: int, patience: float) -> str:
  """The form of an address at which the head of a cluster answers.

  Raises:
    Silent: in none of its forms.
  """
  deadline = time.monotonic() + patience
  problem = None
  for form in forms(host):
    try:
      ask(form, port, deadline)
      return joined(form, port)
    except Silent as silent:
      problem = problem or silent
  raise problem


def forms(host: str) -> list[str]:
  """How a host may be written for Ray.

  Ray takes a loopback address for this machine's outer address, at which a
  cluster bound to loopback does not listen; the IPv4 address in IPv6 it leaves.
  """
  if host not in LOOPBACK:
    return [host]
  return ['::ffff:127.0.0.1' if host != '::1' else '0::1', host]


def joined(host: str, port: int) -> str:
  """HOST:PORT, with brackets where they are needed."""
  return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


def ask(host: str, port: int, deadline: float) -> None:
  """Returns when the head of a cluster has answered.

  Raises:
    Silent: it has not.
  """
  left = max(0.1, deadline - time.monotonic())
  try:
    with socket.create_connection((host, port), timeout=left):
      pass
  except TimeoutError:
    raise Silent(f'no answer in {left:.0f} seconds') from None
  except OSError as error:
    raise Silent(f'no connection ({errors.one_line(str(error))})') from None
  if os.environ.get('RAY_USE_TLS', '0') == '0':
    ask_ray(joined(host, port), deadline)


def ask_ray(target: str, deadline: float) -> None:
  """Asks which cluster this is, which any head can tell.

  Raises:
    Silent: no answer, or not that of a head.
  """
  import grpc

  options = (('grpc.enable_http_proxy', 0),)
  left = max(0.1, deadline - time.monotonic())
  with contextlib.closing(grpc.insecure_channel(target, options)) as channel:
    try:
      channel.unary_unary(CALL)(b'', timeout=left, wait_for_ready=True)
    except grpc.RpcError as error:
      code = error.code()
      if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        raise Silent('the port is open, but no Ray cluster answers') from None
      if code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE):
        raise Silent('not the head of a Ray cluster') from None
      # It wants a token, say: a cluster it is.
