"""A training step and its surroundings: this trainer, plain Flax, PyTorch.

Also the time until the first step, and the rate of the input pipeline.
"""

import importlib.metadata
import pathlib
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import pandas as pd

from benchmarks import costs, memory, pipeline, start, timing, train_candidates
from benchmarks.train_cases import CASES, Case, batch_size
from normlab.sweeps.runners import processes

# On an accelerator a step is short, and ours makes many in a call.
STEPS_ELSEWHERE = 100
TRACED_STEPS = 10
ON_GPU = """\
torch: torch.compile, channels last; float32 is multiplied as TF32 by all."""


def table(cases: Sequence[Case] = CASES) -> tuple[pd.DataFrame, list[str]]:
  """One row a case; and where PyTorch is faster on a CPU, our costs in words.

  Args:
    cases: what to time.
  """
  rows, slower = [], []
  for case in cases:
    begin = time.perf_counter()
    size, candidates = batch_size(), train_candidates.available()
    steppers = {
      who: train_candidates.CANDIDATES[who](case, size) for who in candidates
    }
    times = timing.steps_side_by_side(
      steppers, rounds=case.rounds, steps=steps_of(case)
    )
    if is_slower(times):
      steps = min(steps_of(case), TRACED_STEPS)
      shares = costs.by_kind(steppers['normlab'], steps)
      slower.append(f'{case.row}: {costs.sentence(shares)}')
    del steppers
    peaks = memory.peaks(case.row, candidates)
    rows.append({'model': case.row, **columns(times, peaks, size)})
    seconds = time.perf_counter() - begin
    print(f'{case.row}: {seconds:.1f} s', file=sys.stderr)
  return pd.DataFrame(rows), slower


def steps_of(case: Case) -> int:
  """Steps a turn."""
  return case.steps if jax.default_backend() == 'cpu' else STEPS_ELSEWHERE


def is_slower(times: Mapping[str, float]) -> bool:
  """Whether it must be said what our time goes into."""
  is_cpu = jax.default_backend() == 'cpu'
  return is_cpu and times['normlab'] > times.get('torch', float('inf'))


def columns(
  times: Mapping[str, float], peaks: Mapping[str, float], batch_size: int
) -> dict[str, Any]:
  """The cells of one row.

  Args:
    times: seconds a step, by candidate.
    peaks: MiB, likewise.
    batch_size: examples a step.
  """
  ours = times['normlab']
  cells = {f'{who} (ms)': f'{1e3 * t:.2f}' for who, t in times.items()}
  cells |= {
    f'normlab / {who}': f'{ours / t:.2f}'
    for who, t in times.items()
    if who != 'normlab'
  }
  cells |= {
    f'{who} (images/s)': f'{batch_size / t:,.0f}' for who, t in times.items()
  }
  return cells | {f'{who} peak (MiB)': f'{p:.0f}' for who, p in peaks.items()}


def report() -> str:
  """All measurements as Markdown, with the machine's name."""
  rows, slower = table()
  parts = [
    f'One training step at batch {batch_size()}, float32, BatchNorm; '
    f'{machine()}',
    memory.NOTE + ('' if jax.default_backend() == 'cpu' else f'\n{ON_GPU}'),
    markdown(rows),
  ]
  if slower:
    parts.append(
      'Slower than PyTorch; what the operations of a step take, from a trace:'
    )
    parts.append('\n'.join(f'- {line}' for line in slower))
  # Of the script that prints this report.
  scripts = pathlib.Path(sys.argv[0]).resolve().parent
  starts = ', '.join(f'{k} {v:.1f} s' for k, v in start.times(scripts).items())
  parts.append(
    f'From the command to the first step (configs/digits_cnn.py): {starts}'
  )
  parts.append('Input pipeline: JPEG of 500x375 to 224x224, augmented')
  parts.append(markdown(pipeline.table()))
  return '\n\n'.join(parts)


def markdown(rows: pd.DataFrame) -> str:
  """The table as Markdown."""
  return rows.to_markdown(index=False, disable_numparse=True)


def machine() -> str:
  """Processor, device and versions."""
  cores = len(processes.usable_cores())
  versions = f'jax {jax.__version__}'
  if 'torch' in train_candidates.available():
    versions += f', torch {importlib.metadata.version("torch")}'
  device = jax.devices()[0].device_kind
  return f'{cpu_name()}, {cores} cores, device {device}, {versions}'


def cpu_name() -> str:
  """What the processor calls itself, where the system says."""
  cpuinfo = pathlib.Path('/proc/cpuinfo')
  if cpuinfo.exists():
    for line in cpuinfo.read_text().splitlines():
      if line.startswith('model name'):
        return line.partition(':')[2].strip()
  return platform.processor() or platform.machine()
