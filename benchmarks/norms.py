"""Milliseconds per pass of each norm: ours, flax, PyTorch, and the floor."""

import functools
import importlib.util
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks import norms_jax, reports
from benchmarks.norms_jax import BOTH, FORWARD, Data
from benchmarks.timing import Stepper, side_by_side
from normlab import norms, registry

# [batch, height, width, channels]
SHAPES = ((128, 32, 32, 64), (256, 32, 32, 128))
DTYPES = ('float32', 'bfloat16')
HEADER = (
  'norm',
  *('forward: ms', '/ floor', '/ flax', '/ torch'),
  *('forward + backward: ms', '/ floor', '/ flax', '/ torch'),
  'kept (kB)',
)
MEANINGS = {
  'floor': 'one multiply-add pass over the array; two for forward + backward',
  'torch': 'PyTorch, in the faster of its two memory layouts',
  'kept': (
    'what the backward pass keeps besides the input: statistics (kB), and for '
    "some layers arrays of the input's size (x)"
  ),
  '`layer`': 'over the last axis',
  '`layer, example`': 'over all axes but the batch',
}
FLAX: Mapping[str, Callable[..., nn.Module]] = {
  'batch': functools.partial(nn.BatchNorm, use_running_average=False),
  'layer': nn.LayerNorm,
  'group': nn.GroupNorm,
  'instance': nn.InstanceNorm,
  'rms': nn.RMSNorm,
}


class LayerCase(NamedTuple):
  """A norm to time.

  Attributes:
    row: its name in the table.
    name: its name in `norms.ACTIVATION_NORMS`.
    fields: those that are not at their defaults.
  """

  row: str
  name: str
  fields: Mapping[str, Any]

  def layer(self, dtype: Any) -> nn.Module:
    """Our layer, with output in `dtype` if it has that field."""
    fields = dict(self.fields)
    if 'dtype' in norms.fields_of(self.name):
      fields['dtype'] = dtype
    return norms.build(name=self.name, **fields)()


def cases(only: Sequence[str] | None = None) -> list[LayerCase]:
  """The norms to time.

  Args:
    only: keys of `norms.ACTIVATION_NORMS`; None: all but 'none', which does
      nothing.

  Raises:
    errors.ConfigError: an unknown norm; lists the known ones.
  """
  known = {k: v for k, v in norms.ACTIVATION_NORMS.items() if k != 'none'}
  found = []
  for name in known if only is None else only:
    registry.lookup('norm', name, known)
    found.append(LayerCase(name, name, {}))
    if name == 'layer':
      found.append(
        LayerCase('layer, example', name, {'reduction_axes': (1, 2, 3)})
      )
  return found


def steppers(
  case: LayerCase, variables: norms_jax.Variables, data: Data
) -> dict[str, dict[str, Stepper]]:
  """Both passes of 'floor', 'normlab', and where they have it flax and PyTorch.

  Args:
    variables: those of our layer; all candidates are given them.
  """
  layer = case.layer(data.x.dtype)
  step = norms_jax.step_of(layer, use_running_average=False)
  found = {
    'floor': norms_jax.floor(data),
    'normlab': norms_jax.passes(step, variables, data),
  }
  if case.name in FLAX:
    theirs = FLAX[case.name](dtype=data.x.dtype, **case.fields)
    step = norms_jax.step_of(theirs)
    found['flax'] = norms_jax.passes(step, variables, data)
  waits = dict.fromkeys(found, jax.block_until_ready)
  if importlib.util.find_spec('torch') is not None:
    from benchmarks import norms_torch, plain_torch

    layouts = norms_torch.passes(case.row, layer, variables, data)
    found |= {f'torch, {layout}': p for layout, p in layouts.items()}
    waits |= {f'torch, {layout}': plain_torch.wait for layout in layouts}
  return {
    pass_: {who: Stepper(p[pass_], waits[who]) for who, p in found.items()}
    for pass_ in (FORWARD, BOTH)
  }


def row(case: LayerCase, data: Data, rounds: int = 9) -> list[str]:
  """The cells of one norm, as `HEADER` has them."""
  layer = case.layer(data.x.dtype)
  init = functools.partial(layer.init, use_running_average=False)
  # No variable depends on the batch.
  variables = jax.jit(init)(jax.random.key(0), data.x[:1])
  # Queued calls may run beside each other on a CPU; elsewhere waiting for each
  # one would time the queue.
  queued = 1 if jax.default_backend() == 'cpu' else 20
  cells = [case.row]
  for candidates in steppers(case, variables, data).values():
    times = side_by_side(candidates, rounds=rounds, steps=queued)
    cells += ratios(times)
  step = norms_jax.step_of(layer, use_running_average=False)
  big, small = norms_jax.kept_bytes(step, variables, data.x, data.key)
  arrays = f' and {big / data.x.nbytes:.3g} x' if big else ''
  return [*cells, f'{small / 1e3:.1f}{arrays}']


def ratios(seconds: Mapping[str, float]) -> Iterator[str]:
  """Our milliseconds and the ratios to the others; '–' where there is none."""
  torch = [t for who, t in seconds.items() if who.startswith('torch')]
  ours = seconds['normlab']
  others = seconds['floor'], seconds.get('flax'), min(torch, default=None)
  yield f'{1e3 * ours:.2f}'
  for theirs in others:
    yield '–' if theirs is None else f'{ours / theirs:.2f}'


def report(only: Sequence[str] | None = None) -> str:
  """One table per shape and dtype, as Markdown; `only` as for `cases`."""
  found = cases(only)  # Refuses a wrong name before anything is measured.
  mode = 'training; medians of one process'
  parts = [
    reports.measured_with(mode=mode),
    reports.table(('column or row', 'means'), MEANINGS.items()),
  ]
  for shape in SHAPES:
    for dtype in DTYPES:
      data, rows = norms_jax.random_data(shape, dtype), []
      for case in found:
        begin = time.perf_counter()
        rows.append(row(case, data))
        seconds = time.perf_counter() - begin
        print(f'{shape} {dtype} {case.row}: {seconds:.1f} s', file=sys.stderr)
      size = math.prod(shape) * jnp.dtype(dtype).itemsize / 1e6
      parts.append(f'### {list(shape)}, {dtype}, {size:.0f} MB')
      parts.append(reports.table(HEADER, rows))
  return '\n\n'.join(parts)
