"""The nodes of a Ray cluster, and whether one of them can train a run."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from normlab import errors

# Seconds that a cluster has to answer.
PATIENCE = 20.0
# Seconds without a node that could train a run, after which all have failed: a
# node that died may be replaced.
ROOM_PATIENCE = 60.0
ASK = """
import json, sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR')
print(json.dumps(ray.nodes()))
"""
ADDRESS = re.compile(r'(\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})')


class SilentError(Exception):
  """Why an address cannot be used, in words."""


def nodes_at(address: str) -> list[dict[str, Any]]:
  """The nodes of a cluster, as `ray.nodes()` returns them.

  Args:
    address: 'auto' for the cluster of this machine, or HOST:PORT of a head.

  Raises:
    errors.ConfigError: it is no address, or no cluster answers there that this
      machine is a node of.
  """
  try:
    if address != 'auto':
      check_listens(address)
    return asked(address)
  except SilentError as silent:
    raise errors.ConfigError(
      f"--address={errors.shown(address)}: {silent}; allowed: 'auto' for the "
      'cluster of this machine, or HOST:PORT of the head of a cluster that '
      'this machine is a node of; `ray start --head` starts one'
    ) from None


def check_listens(address: str) -> None:
  """Connects to the port, which fails at once if nobody listens.

  Raises:
    SilentError: it is not HOST:PORT, or nobody listens.
  """
  match = ADDRESS.fullmatch(address) if isinstance(address, str) else None
  if match is None or not 0 < int(match[2]) < 2**16:
    raise SilentError('not HOST:PORT with a port from 1 to 65535')
  target = match[1].strip('[]'), int(match[2])
  try:
    socket.create_connection(target, timeout=PATIENCE).close()
  except OSError as error:
    raise SilentError(
      f'no connection ({errors.one_line(str(error))})'
    ) from None


def asked(address: str) -> list[dict[str, Any]]:
  """The nodes, as a process that connects to the cluster prints them.

  Where no cluster answers, `ray.init` waits for minutes and ends its process.

  Raises:
    SilentError: it fails, or takes longer than `PATIENCE`.
  """
  try:
    result = subprocess.run(
      [sys.executable, '-c', ASK, address],
      capture_output=True,
      text=True,
      timeout=PATIENCE,
      start_new_session=True,  # A Ctrl-C is for this process alone.
    )
  except subprocess.TimeoutExpired:
    raise SilentError(
      f'no Ray cluster answers in {PATIENCE:g} seconds'
    ) from None
  if result.returncode:
    *_, last = ['no Ray cluster answers', *result.stderr.splitlines()]
    raise SilentError(errors.cut(last))
  return json.loads(result.stdout.splitlines()[-1])


def lacking(
  asked: Mapping[str, float], nodes: Sequence[Mapping[str, Any]]
) -> str | None:
  """Says that no node can ever train a run; None where one can.

  Args:
    asked: resources of a run, by Ray's names.
    nodes: as `ray.nodes()` returns them.
  """
  alive = [node['Resources'] for node in nodes if node['Alive']]
  if any(all(n.get(r, 0) >= asked[r] for r in asked) for n in alive):
    return None
  has = {', '.join(f'{r}: {n.get(r, 0):g}' for r in asked) for n in alive}
  return (
    'no node of the Ray cluster has what a run asks for, '
    f'{", ".join(f"{name}: {amount:g}" for name, amount in asked.items())}; '
    f'its nodes have {" | ".join(sorted(has)) or "nothing: none is alive"}; '
    'allowed: --num_cpus and --num_gpus that fit into one of them'
  )


class Room:
  """Notes since when the cluster has had no node for a run."""

  def __init__(self, ray: ModuleType, asked: Mapping[str, float]):
    """Takes the resources of a run."""
    self._ray, self._asked = ray, asked
    self._last_room = time.monotonic()

  def problem(self) -> str | None:
    """The resources lacking for long; None while runs can be trained."""
    problem, now = lacking(self._asked, self._ray.nodes()), time.monotonic()
    if problem is None:
      self._last_room = now
    return problem if now - self._last_room >= ROOM_PATIENCE else None
