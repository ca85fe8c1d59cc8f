"""Seconds from the command to the first training step."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time


def times(scripts: pathlib.Path) -> dict[str, float]:
  """Seconds to the first row in the record of `configs/digits_cnn.py`.

  The first start compiles everything; the second finds it in the cache.
  Python's modules are in the system's file cache at both.

  Args:
    scripts: the folder that has `train.py`, beside `configs`.
  """
  with tempfile.TemporaryDirectory() as folder:
    cache = {'JAX_COMPILATION_CACHE_DIR': os.path.join(folder, 'cache')}
    return {
      start: seconds_to_first_row(scripts, pathlib.Path(folder, name), cache)
      for start, name in (('first start', 'first'), ('second start', 'second'))
    }


def seconds_to_first_row(
  scripts: pathlib.Path, workdir: pathlib.Path, environment: dict[str, str]
) -> float:
  """Trains two steps in a process of its own; returns when the first is there.

  Raises:
    RuntimeError: the process failed.
  """
  script = scripts / 'train.py'
  config = scripts.parent / 'configs' / 'digits_cnn.py'
  flags = [f'--config={config}', f'--workdir={workdir}']
  flags += ['--config.log_every=1', '--config.total_steps=2']
  begin = time.perf_counter()
  process = subprocess.Popen(
    [sys.executable, script, *flags],
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
    raise RuntimeError(f'{script} failed with {process.returncode}')
  return seconds
