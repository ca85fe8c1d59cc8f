"""The candidates: a norm of this library, the floor, flax, PyTorch."""

import dataclasses
import functools
import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from flax import linen as nn

from benchmarks import norms_flax
from benchmarks.norms_flax import PASSES, Data
from normlab import norms, registry

PAUSE = 'pause'
# On the CPU calls that are queued may run beside each other; elsewhere waiting
# for each one would time the queue.
QUEUED = {'cpu': 1}
QUEUED_ELSEWHERE = 20


@dataclasses.dataclass(frozen=True)
class Case:
  """A norm to time.

  Attributes:
    row: its name in the table.
    name: its name in `norms.ACTIVATION_NORMS`.
    fields: those that are not at their defaults.
  """

  row: str
  name: str
  fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def layer(self, dtype: Any) -> nn.Module:
    """This library's layer, with output in `dtype` where it has that field."""
    fields = dict(self.fields)
    if 'dtype' in norms.fields_of(self.name):
      fields['dtype'] = dtype
    return norms.build(name=self.name, **fields)()

  def flax_layer(self, dtype: Any) -> nn.Module | None:
    """The layer of `flax.linen`, which has the same variables, if any."""
    if self.name not in norms_flax.FLAX:
      return None
    return norms_flax.FLAX[self.name](dtype=dtype, **self.fields)


def cases(only: Sequence[str] | None = None) -> list[Case]:
  """The norms to time.

  Args:
    only: keys of `norms.ACTIVATION_NORMS`; None: all but 'none', which does
      nothing.

  Raises:
    errors.ConfigError: an unknown norm; lists the known ones.
  """
  known = {
    name: layer
    for name, layer in norms.ACTIVATION_NORMS.items()
    if name != 'none'
  }
  found = []
  for name in known if only is None else only:
    registry.lookup('norm', name, known)
    found.append(Case(name, name))
    if name == 'layer':
      found.append(Case('layer, example', name, {'reduction_axes': (1, 2, 3)}))
  return found


def init(layer: nn.Module, x: jax.Array) -> norms_flax.Variables:
  """The variables of a layer of this library; none depends on the batch."""
  init = functools.partial(layer.init, use_running_average=False)
  return jax.jit(init)(jax.random.key(0), x[:1])


def candidates(
  case: Case, variables: norms_flax.Variables, data: Data
) -> dict[str, dict[str, Callable[[], object]]]:
  """Who takes part, with a call for each pass that returns when it is done.

  Args:
    case: the norm.
    variables: those of this library's layer, which all are given.
    data: input and cotangent, likewise.

  Returns:
    By 'floor', 'normlab', 'flax', 'torch, LAYOUT' and 'pause'; then by pass.
  """
  layer, theirs = case.layer(data.x.dtype), case.flax_layer(data.x.dtype)
  step = norms_flax.step_of(layer, use_running_average=False)
  found = {
    'floor': norms_flax.floor(data),
    'normlab': norms_flax.passes(step, variables, data),
  }
  if theirs is not None:
    step = norms_flax.step_of(theirs)
    found['flax'] = norms_flax.passes(step, variables, data)
  queue = queue_length(data.x)
  found = queued(found, queue, jax.block_until_ready)
  if importlib.util.find_spec('torch') is not None:
    from benchmarks import norms_torch

    others = norms_torch.passes(case.row, layer, variables, data)
    others = {f'torch, {layout}': passes for layout, passes in others.items()}
    found |= queued(others, queue, norms_torch.wait)
    if others:  # Its threads spin for a while after a call: none must pay.
      pause = functools.partial(time.sleep, 0.005)
      found[PAUSE] = dict.fromkeys(PASSES, pause)
  return found


def queued(
  candidates: Mapping[str, Mapping[str, Callable[[], object]]],
  length: int,
  wait: Callable[[Any], object],
) -> dict[str, dict[str, Callable[[], object]]]:
  """Each candidate called `length` times, and waited for once."""

  def repeated(call: Callable[[], object]) -> object:
    for _ in range(length):
      result = call()
    wait(result)
    return result

  return {
    who: {
      pass_: functools.partial(repeated, call) for pass_, call in passes.items()
    }
    for who, passes in candidates.items()
  }


def queue_length(x: jax.Array) -> int:
  """How many calls are queued on the device of `x` before waiting."""
  platform = next(iter(x.devices())).platform
  return QUEUED.get(platform, QUEUED_ELSEWHERE)
