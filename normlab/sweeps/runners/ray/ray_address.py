"""Asks a Ray cluster for its nodes, in a process of its own.

Where no cluster answers, `ray.init` waits for minutes and ends its process.
"""

import json
import re
import socket
import subprocess
import sys
from typing import Any

from normlab import errors

# Seconds that a cluster has to answer.
PATIENCE = 20.0
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
