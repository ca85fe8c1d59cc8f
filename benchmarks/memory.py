"""Peak memory of each training loop, each in a process of its own."""

import concurrent.futures
import multiprocessing
import os
import pathlib
import re
import resource

import jax

from benchmarks import reports
from benchmarks.train_candidates import (
  CANDIDATES,
  CASES,
  Case,
  available,
  batch_size,
)

STEPS = 3
PEAK = """\
a process builds one loop and makes a few steps; on a CPU its peak beyond that \
after its imports, compiling included; on a GPU the count of the allocator"""


def report() -> str:
  """MiB of each loop, as Markdown."""
  everyone = available()
  rows = [
    [case.row, *(f'{peak(case, who) / 2**20:.0f}' for who in everyone)]
    for case in CASES
  ]
  header = ['model', *(f'{who} peak (MiB)' for who in everyone)]
  return reports.report(header, rows, peak=PEAK)


def peak(case: Case, who: str) -> int:
  """Peak memory in bytes of one candidate."""
  # This process may hold the rest of a GPU's memory.
  os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'false'
  spawn = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
    return pool.submit(peak_here, case, who).result()


def peak_here(case: Case, who: str) -> int:
  """Peak memory in bytes of one candidate, if this process did nothing else."""
  available()  # Imports PyTorch, in all candidates alike.
  before = resident_peak()
  CANDIDATES[who](case, batch_size()).run(STEPS)
  if jax.default_backend() == 'cpu':
    return resident_peak() - before
  if who == 'torch':
    import torch

    return torch.cuda.max_memory_allocated()
  return jax.devices()[0].memory_stats()['peak_bytes_in_use']


def resident_peak() -> int:
  """The most memory that this process has had, in bytes."""
  status = pathlib.Path('/proc/self/status')
  if status.exists():
    # `getrusage` has the peak of the process that started this one, if larger.
    return int(re.search(r'VmHWM:\s+(\d+)', status.read_text())[1]) * 1024
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # As macOS has it.
