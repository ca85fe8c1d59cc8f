"""Milliseconds per training step: this trainer, plain Flax, PyTorch."""

import sys
import time
from collections.abc import Mapping

import jax

from benchmarks import costs, reports
from benchmarks.timing import side_by_side
from benchmarks.train_candidates import (
  CANDIDATES,
  CASES,
  Case,
  available,
  batch_size,
)

# On an accelerator a step is short, and ours makes many in a call.
STEPS_ELSEWHERE = 100
TRACED_STEPS = 10


def report() -> str:
  """The table as Markdown, and our costs wherever PyTorch is faster."""
  step = f'batch {batch_size()}, float32, BatchNorm'
  if jax.default_backend() != 'cpu':
    step += '; torch: torch.compile, channels last; TF32 everywhere'
  rows, slower = [], []
  for case in CASES:
    begin = time.perf_counter()
    times, shares = measure(case)
    rows.append([case.row, *cells(times)])
    if shares:
      slower.append(f'- {case.row}: {shares}')
    seconds = time.perf_counter() - begin
    print(f'{case.row}: {seconds:.1f} s', file=sys.stderr)
  everyone = available()
  header = ['model', *(f'{who} (ms)' for who in everyone)]
  header += [f'normlab / {who}' for who in everyone[1:]]
  found = reports.report(header, rows, step=step)
  if slower:
    found += '\n\nSlower than PyTorch; our operations take, from a trace:\n\n'
  return found + '\n'.join(slower)


def measure(case: Case) -> tuple[dict[str, float], str]:
  """Seconds per step of each; and our costs if PyTorch is faster on a CPU."""
  is_cpu = jax.default_backend() == 'cpu'
  steps = case.steps if is_cpu else STEPS_ELSEWHERE
  steppers = {who: CANDIDATES[who](case, batch_size()) for who in available()}
  times = side_by_side(steppers, rounds=case.rounds, steps=steps)
  if not is_cpu or times['normlab'] <= times.get('torch', float('inf')):
    return times, ''
  traced = min(steps, TRACED_STEPS)
  return times, costs.sentence(costs.by_kind(steppers['normlab'], traced))


def cells(times: Mapping[str, float]) -> list[str]:
  """Milliseconds of all, then the ratios of ours to the others."""
  ours, *others = times.values()
  return [
    *(f'{1e3 * seconds:.2f}' for seconds in (ours, *others)),
    *(f'{ours / seconds:.2f}' for seconds in others),
  ]
