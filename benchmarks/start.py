"""Seconds from the command to the first training step."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

from benchmarks import reports

ROOT = pathlib.Path(__file__).parents[1]


def report() -> str:
  """The first start compiles everything, the second finds it in the cache.

  Python's modules are in the system's file cache at both.
  """
  with tempfile.TemporaryDirectory() as folder:
    cache = {'JAX_COMPILATION_CACHE_DIR': os.path.join(folder, 'cache')}
    rows = [
      (start, f'{seconds_to_first_row(pathlib.Path(folder, start), cache):.1f}')
      for start in ('first', 'second')
    ]
  run = 'configs/digits_cnn.py, to its first row'
  return reports.report(('start', 'seconds'), rows, run=run)


def seconds_to_first_row(
  workdir: pathlib.Path, environment: dict[str, str]
) -> float:
  """Trains two steps in a new process; returns when the first has its row.

  Raises:
    RuntimeError: the process failed.
  """
  flags = [f'--config={ROOT}/configs/digits_cnn.py', f'--workdir={workdir}']
  flags += ['--config.log_every=1', '--config.total_steps=2']
  begin = time.perf_counter()
  process = subprocess.Popen(
    [sys.executable, ROOT / 'scripts' / 'train.py', *flags],
    env=os.environ | environment,
    stderr=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
  )
  metrics = workdir / 'metrics.jsonl'
  while process.poll() is None and not (
    metrics.exists() and metrics.stat().st_size
  ):
    time.sleep(0.005)
  seconds = time.perf_counter() - begin
  if process.wait():
    raise RuntimeError(f'train.py failed with {process.returncode}')
  return seconds
