"""Runs an hour, by what trains them: from the command to the last result.

A fresh process for each run, as a shell loop over scripts/train.py has it,
beside the runners of scripts/sweep.py. All train the same runs, each way with a
compilation cache of its own that is empty at first.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import jax
import pandas as pd

from benchmarks import train

MEMBERS = 16
# Of these the rate follows; their cost does not depend on their number.
FRESH_PROCESSES = 4
RUNNERS = ('one_process', 'processes', 'vectorized')
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
SEEDS = MEMBERS // 4


def report(models: Sequence[str] = MODELS, steps: int = STEPS) -> str:
  """The table as Markdown, with the machine's name.

  Args:
    models: of the runs.
    steps: of each run.
  """
  scripts = pathlib.Path(sys.argv[0]).resolve().parent
  rows = [row for model in models for row in rows_of(model, steps, scripts)]
  kind = jax.devices()[0].platform
  return '\n\n'.join(
    [
      f'Digits, batch 32, {steps} steps a run, on {kind}; {train.machine()}',
      train.markdown(pd.DataFrame(rows)),
    ]
  )


def rows_of(
  model: str, steps: int, scripts: pathlib.Path
) -> list[dict[str, object]]:
  """A row a way to train the runs of one model."""
  ways: dict[str, tuple[int, Callable[[pathlib.Path], None]]] = {
    'a fresh process each': (
      FRESH_PROCESSES,
      lambda folder: fresh_processes(folder, scripts),
    )
  }
  for runner in RUNNERS:
    ways[f'--runner={runner}'] = (
      MEMBERS,
      lambda folder, runner=runner: one_sweep(folder, scripts, runner),
    )
  rows, first = [], None
  for way, (count, run) in ways.items():
    seconds = seconds_of(
      run, CONFIG.format(model=model, steps=steps, seeds=SEEDS)
    )
    print(f'{model}, {way}: {seconds:.1f} s', file=sys.stderr)
    rate = 3600 * count / seconds
    first = first or rate
    rows.append(
      {
        'model': model,
        'runs trained by': way,
        'runs': count,
        'seconds': f'{seconds:.1f}',
        'runs an hour': f'{rate:,.0f}',
        'times the first': f'{rate / first:.2f}',
      }
    )
  return rows


def seconds_of(run: Callable[[pathlib.Path], None], config: str) -> float:
  """Seconds that `run` takes in an empty folder that has the config alone."""
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    (folder / 'swept.py').write_text(config, encoding='utf-8')
    start = time.perf_counter()
    run(folder)
    return time.perf_counter() - start


def fresh_processes(folder: pathlib.Path, scripts: pathlib.Path) -> None:
  """Trains some of the runs as a shell loop would."""
  for seed in range(FRESH_PROCESSES):
    call(
      *(folder, scripts / 'train.py', folder / f'run{seed}'),
      f'--config.seed={seed}',
    )


def one_sweep(folder: pathlib.Path, scripts: pathlib.Path, runner: str) -> None:
  """Trains all runs through a runner."""
  call(folder, scripts / 'sweep.py', folder / 'sweep', f'--runner={runner}')


def call(
  folder: pathlib.Path,
  script: pathlib.Path,
  workdir: pathlib.Path,
  *flags: str,
) -> None:
  """Runs a script in a process of its own.

  Raises:
    RuntimeError: it failed.
  """
  cache = {'JAX_COMPILATION_CACHE_DIR': str(folder / 'cache')}
  result = subprocess.run(
    [
      *(sys.executable, script, f'--config={folder / "swept.py"}'),
      *(f'--workdir={workdir}', *flags),
    ],
    env=os.environ | cache,
    capture_output=True,
    text=True,
  )
  if result.returncode:
    raise RuntimeError(f'{script} failed: {result.stderr.strip()[-500:]}')
