"""What a run asks of a Ray cluster, and what the nodes of the cluster have."""

import time
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from normlab import errors

# Seconds without a node that could train a run, after which all have failed: a
# node that died may be replaced.
ROOM_PATIENCE = 60.0


def check_amounts(num_cpus: float, num_gpus: float) -> None:
  """Refuses what no task can ask for.

  Raises:
    errors.ConfigError: says what is allowed.
  """
  options = {'num_cpus': num_cpus, 'num_gpus': num_gpus}
  for name, amount in options.items():
    if not is_amount(amount):
      raise errors.ConfigError(
        f'--{name}={errors.shown(amount)}: allowed: a whole number, or a part '
        'of 1'
      )
  if not any(options.values()):
    raise errors.ConfigError(
      '--num_cpus=0 --num_gpus=0: allowed: at least one of them above 0, or '
      'all runs would start at once'
    )


def is_amount(value: Any) -> bool:
  """Whether Ray can give a task this much: from 1 on, whole ones only."""
  if isinstance(value, bool) or not isinstance(value, int | float):
    return False
  # Ray counts in ten-thousandths.
  return 0.0001 <= value < 1 or (value >= 0 and value // 1 == value)


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
  """Looks now and then whether the cluster still has a node for a run."""

  def __init__(self, ray: ModuleType, asked: Mapping[str, float]):
    """Takes what a run asks for."""
    self._ray = ray
    self._asked = asked
    self._last_look = self._last_room = time.monotonic()

  def problem(self) -> str | None:
    """What has been lacking for long; None while runs can be trained."""
    now = time.monotonic()
    if now - self._last_look < ROOM_PATIENCE / 10:
      return None
    self._last_look = now
    problem = lacking(self._asked, self._ray.nodes())
    if problem is None:
      self._last_room = now
    return problem if now - self._last_room >= ROOM_PATIENCE else None
