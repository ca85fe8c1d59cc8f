"""Runs per hour of each runner, from the command to the last result.

The runners of scripts/sweep.py beside a shell loop over scripts/train.py. All
train the same runs, each with an empty compilation cache of its own.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

from benchmarks import reports

ROOT = pathlib.Path(__file__).parents[1]
MEMBERS = 16
SEEDS = MEMBERS // 4
# The cost of a fresh process does not depend on the number of runs.
FRESH_PROCESSES = 4
RUNNERS = ('one_process', 'processes', 'vectorized')
FRESH = 'a fresh process each, one after another'
MODELS = ('cnn', 'mlp')
STEPS = 300

CONFIG = """\
from configs import digits_cnn

def get_config():
  config = digits_cnn.get_config()
  config.model.name = {model!r}
  config.total_steps = {steps}
  return config

def get_hyper(hyper):
  return hyper.product([
    hyper.sweep(
      'config.optimizer.learning_rate_multiplier', hyper.logspace(0.1, 3, 4)
    ),
    hyper.sweep('config.seed', range({seeds})),
  ])
"""


def report() -> str:
  """One row per way to train the runs, one column per model."""
  runs = f'{MEMBERS} on the digits, batch 32, {STEPS} steps each'
  rows = []
  for runner in (None, *RUNNERS):
    way = f'`--runner={runner}`' if runner else FRESH
    rates = [runs_per_hour(runner, model) for model in MODELS]
    rows.append([way, *(f'{rate:,.0f}' for rate in rates)])
  return reports.report(('runs trained by', *MODELS), rows, runs=runs)


def runs_per_hour(runner: str | None, model: str, steps: int = STEPS) -> float:
  """The rate of a runner; None trains each run in a fresh process."""
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    text = CONFIG.format(model=model, steps=steps, seeds=SEEDS)
    (folder / 'swept.py').write_text(text, encoding='utf-8')
    start = time.perf_counter()
    if runner:
      call(folder, 'sweep', f'--workdir={folder}/sweep', f'--runner={runner}')
    else:
      for seed in range(FRESH_PROCESSES):
        workdir = f'--workdir={folder}/run{seed}'
        call(folder, 'train', workdir, f'--config.seed={seed}')
    seconds = time.perf_counter() - start
  print(f'{model}, {runner}: {seconds:.1f} s', file=sys.stderr)
  return 3600 * (MEMBERS if runner else FRESH_PROCESSES) / seconds


def call(folder: pathlib.Path, script: str, *flags: str) -> None:
  """Runs a script on the config in `folder`, in a new process.

  Raises:
    RuntimeError: it failed.
  """
  path = ROOT / 'scripts' / f'{script}.py'
  result = subprocess.run(
    [sys.executable, path, f'--config={folder}/swept.py', *flags],
    env=os.environ | {'JAX_COMPILATION_CACHE_DIR': str(folder / 'cache')},
    capture_output=True,
    text=True,
  )
  if result.returncode:
    raise RuntimeError(f'{path} failed: {result.stderr.strip()[-500:]}')
