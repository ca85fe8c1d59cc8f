"""Milliseconds a pass of each norm: ours, flax's, PyTorch's, and the floor."""

import importlib.util
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import pandas as pd

from benchmarks import norms_candidates, norms_flax, timing
from benchmarks.norms_candidates import Case, cases
from benchmarks.norms_flax import Data
from benchmarks.train import cpu_name
from normlab.sweeps.runners import processes

# [batch, height, width, channels], and calls a turn.
SHAPES = {(128, 32, 32, 64): 2, (256, 32, 32, 128): 1}
DTYPES = ('float32', 'bfloat16')

NOTES = """\
`layer` is over the last axis, `layer, example` over all axes but the batch.
floor: one multiply-add pass over x with numbers of each channel; forward +
backward: one over x and one over the cotangent. torch: the faster of two memory
layouts, which `layout` names. kept: what the backward pass keeps besides the
input, the parameters and the state, as `jax.vjp` has it: arrays of the size of
x (in multiples of x's bytes), and all smaller ones (kB)."""


def table(
  shape: tuple[int, ...],
  dtype: str,
  *,
  only: Sequence[str] | None = None,
  rounds: int = 5,
  calls: int = 1,
) -> pd.DataFrame:
  """Two rows a norm, one a pass: milliseconds, ratios, bytes kept.

  Args:
    shape: of the input, [batch, height, width, channels].
    dtype: of input and output; the parameters are float32.
    only: as for `cases`.
    rounds: turns of each candidate.
    calls: calls a turn.
  """
  data = norms_flax.random_data(shape, dtype)
  rows = []
  for case in cases(only):
    begin = time.perf_counter()
    rows += rows_of(case, data, rounds, calls)
    seconds = time.perf_counter() - begin
    print(f'{shape} {dtype} {case.row}: {seconds:.1f} s', file=sys.stderr)
  return pd.DataFrame(rows)


def rows_of(
  case: Case, data: Data, rounds: int, calls: int
) -> Iterator[dict[str, Any]]:
  """The two rows of one norm; the arguments are those of `table`."""
  layer = case.layer(data.x.dtype)
  variables = norms_candidates.init(layer, data.x)
  step = norms_flax.step_of(layer, use_running_average=False)
  big, small = norms_flax.kept_bytes(step, variables, data.x, data.key)
  everyone = norms_candidates.candidates(case, variables, data)
  queue = norms_candidates.queue_length(data.x)
  for pass_ in norms_flax.PASSES:
    turns = {who: passes[pass_] for who, passes in everyone.items()}
    times = timing.side_by_side(turns, rounds=rounds, calls=calls)
    times.pop(norms_candidates.PAUSE, None)
    yield {
      'norm': case.row,
      'pass': pass_,
      **columns({who: 1e3 * time / queue for who, time in times.items()}),
      'kept (of x)': big / data.x.nbytes,
      'kept (kB)': small / 1e3,
    }


def columns(milliseconds: Mapping[str, float]) -> dict[str, Any]:
  """Times and ratios of one row; of PyTorch's layouts the faster one."""
  torch = {w: t for w, t in milliseconds.items() if w.startswith('torch')}
  layout = min(torch, key=torch.__getitem__, default='')
  ours = milliseconds['normlab']
  others = {
    'floor': milliseconds['floor'],
    'flax': milliseconds.get('flax', math.nan),
    'torch': torch.get(layout, math.nan),
  }
  return {
    'normlab (ms)': ours,
    **{f'{who} (ms)': time for who, time in others.items()},
    'layout': layout.removeprefix('torch, '),
    **{f'normlab / {who}': ours / time for who, time in others.items()},
  }


def markdown(rows: pd.DataFrame) -> str:
  """The table as Markdown; empty where there is no such layer."""
  digits = {'kept (of x)': '{:.3g}', 'kept (kB)': '{:.1f}'}
  text = rows.copy().astype(object)
  for column in rows.select_dtypes('number'):
    form = digits.get(column, '{:.2f}')
    text[column] = [
      '' if math.isnan(value) else form.format(value) for value in rows[column]
    ]
  return text.to_markdown(index=False, disable_numparse=True)


def report(only: Sequence[str] | None = None) -> str:
  """A table a shape and dtype as Markdown, with the machine's name.

  Args:
    only: as for `cases`.
  """
  cases(only)  # A wrong name is said before anything is measured.
  device = jax.devices()[0].device_kind
  versions = f'jax {jax.__version__}'
  if importlib.util.find_spec('torch') is not None:
    import torch

    versions += f', torch {torch.__version__}'
  parts = [
    'One norm in training mode; median milliseconds a call; '
    f'{cpu_name()}, {len(processes.usable_cores())} cores, device {device}, '
    f'{versions}\n\n{NOTES}'
  ]
  for shape, calls in SHAPES.items():
    for dtype in DTYPES:
      rows = table(shape, dtype, only=only, calls=calls)
      size = math.prod(shape) * jnp.dtype(dtype).itemsize / 1e6
      parts.append(f'{list(shape)}, {dtype}, {size:.0f} MB')
      parts.append(markdown(rows))
  return '\n\n'.join(parts)
