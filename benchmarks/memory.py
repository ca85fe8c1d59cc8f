"""Peak memory of each training loop, each in a process of its own."""

import os
import pathlib
import resource
import subprocess
import sys

import jax

from benchmarks import train_candidates, train_cases

STEPS = 3
MIB = 2**20
NOTE = """\
peak: memory of a process that builds this loop alone and makes a few steps. On
a CPU that is the process's peak beyond what it had after its imports, with what
compiling took; on a GPU the allocator's own count."""


def peaks(row: str, candidates: list[str]) -> dict[str, float]:
  """Peak memory in MiB of each candidate.

  Args:
    row: of a case in `train_cases.CASES`.
    candidates: keys of `train_candidates.CANDIDATES`.

  Raises:
    RuntimeError: a process failed; with the end of what it said.
  """
  # This process may hold the rest of a GPU's memory.
  environment = os.environ | {'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}
  found = {}
  for who in candidates:
    result = subprocess.run(
      [sys.executable, '-m', __name__, row, who],
      env=environment,
      capture_output=True,
      text=True,
    )
    if result.returncode:
      raise RuntimeError(f'memory of {who}, {row}: {result.stderr[-500:]}')
    found[who] = int(result.stdout.split()[-1]) / MIB
  return found


def peak_of(row: str, who: str) -> int:
  """Peak memory in bytes of one candidate, if this process did nothing else."""
  train_candidates.available()  # Imports PyTorch, in all candidates alike.
  before = resident_peak()
  case = train_cases.find(row)
  stepper = train_candidates.CANDIDATES[who](case, train_cases.batch_size())
  stepper.run(STEPS)
  if jax.default_backend() == 'cpu':
    return resident_peak() - before
  if who == 'torch':
    import torch

    return torch.cuda.max_memory_allocated()
  return jax.devices()[0].memory_stats()['peak_bytes_in_use']


def resident_peak() -> int:
  """The most memory that this process had so far, in bytes."""
  status = pathlib.Path('/proc/self/status')
  if status.exists():
    # `getrusage` has the peak of the process that started this one, if larger.
    for line in status.read_text().splitlines():
      if line.startswith('VmHWM:'):
        return int(line.split()[1]) * 1024
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak if sys.platform == 'darwin' else peak * 1024


if __name__ == '__main__':
  print(peak_of(*sys.argv[1:]))
