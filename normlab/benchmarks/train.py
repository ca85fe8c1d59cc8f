"""Milliseconds a training step: this trainer, plain Flax and optax, PyTorch."""

import importlib.util
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import numpy as np
import pandas as pd

from normlab import data, models, norms, program, run
from normlab.benchmarks import plain_flax, timing
from normlab.sweeps import processes

BATCH_SIZE = 32
EXAMPLES = 256
# (name of the row, height and width, channels, model, its field, calls a turn)
CASES = (
  ('cnn, digits size', 8, 1, 'cnn', {'widths': (32, 64, 128)}, 50),
  ('inception 1/6, digits size', 8, 1, 'inception', {'width': 1 / 6}, 25),
  ('cnn, CIFAR size', 32, 3, 'cnn', {'widths': (32, 64, 128)}, 5),
  ('inception 1/6, CIFAR size', 32, 3, 'inception', {'width': 1 / 6}, 5),
)
PLAIN = {'cnn': plain_flax.PlainCNN, 'inception': plain_flax.PlainInception}


def step_times(rounds: int = 7) -> pd.DataFrame:
  """One row a case: milliseconds a step and ratios, all with BatchNorm.

  Args:
    rounds: turns of each candidate.
  """
  rows = []
  for name, size, channels, model, fields, calls in CASES:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (EXAMPLES, size, size, channels), np.uint8)
    labels = (np.arange(EXAMPLES) % 10).astype(np.int32)
    floats = (pixels.astype(np.float32) / 255 - 0.5) / 0.29
    candidates = {
      'normlab': trainer_stepper(model, fields, pixels, labels),
      'flax': plain_flax.stepper(
        PLAIN[model](**fields), floats, labels, BATCH_SIZE
      ),
    }
    if importlib.util.find_spec('torch') is not None:
      from normlab.benchmarks import plain_torch

      build = {'cnn': plain_torch.cnn, 'inception': plain_torch.small_inception}
      network = build[model](channels, *fields.values())
      candidates['torch'] = plain_torch.stepper(
        network, floats, labels, BATCH_SIZE
      )
    times = timing.side_by_side(candidates, rounds=rounds, calls=calls)
    row: dict[str, object] = {'model': name}
    row |= {f'{who} (ms)': f'{1e3 * t:.2f}' for who, t in times.items()}
    row |= {
      f'normlab / {who}': f'{times["normlab"] / t:.2f}'
      for who, t in times.items()
      if who != 'normlab'
    }
    rows.append(row)
  return pd.DataFrame(rows)


def trainer_stepper(
  model: str, fields: dict, pixels: np.ndarray, labels: np.ndarray
) -> Callable[[], object]:
  """A function that makes one step as the trainer does, data on the device."""
  norm = norms.build(name='batch', momentum=0.9)
  built = program.Program(
    models.build(name=model, num_classes=10, norm=norm, **fields), 'momentum'
  )
  key = jax.random.key(0)
  split = data.to_device({'train': data.Split(pixels, labels)})['train']
  hyper = {'weight_decay': np.float32(0)}
  ready = run.Run(
    program=built,
    state=run.initial_state(key, split, hyper, built),
    splits={'train': split},
    rows=data.ShuffledRows(key, len(labels), BATCH_SIZE),
    learning_rates=np.full(1_000_000, 0.01, np.float32),
    hyper=hyper,
    key=key,
  )
  carried = [ready.state, 0]

  def step() -> None:
    carried[0], _ = run.run_steps(ready, carried[0], carried[1], 1)
    carried[1] += 1
    jax.block_until_ready(carried[0])

  return step


def start_times() -> dict[str, float]:
  """Seconds from the command to the first step of `configs/digits_cnn.py`.

  The first start compiles everything; the second finds it in the cache.
  """
  script = pathlib.Path(sys.argv[0]).with_name('train.py')
  config = script.parents[1] / 'configs' / 'digits_cnn.py'
  with tempfile.TemporaryDirectory() as folder:
    cache = {'JAX_COMPILATION_CACHE_DIR': os.path.join(folder, 'cache')}
    times = {}
    for start in ('first start', 'second start'):
      workdir = pathlib.Path(folder) / start.replace(' ', '_')
      flags = [f'--config={config}', f'--workdir={workdir}']
      flags += ['--config.log_every=1', '--config.total_steps=2']
      begin = time.perf_counter()
      process = subprocess.Popen(
        [sys.executable, script, *flags],
        env=os.environ | cache,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
      )
      metrics = workdir / 'metrics.jsonl'
      while process.poll() is None and not (
        metrics.exists() and metrics.stat().st_size
      ):
        time.sleep(0.005)
      times[start] = time.perf_counter() - begin
      if process.wait():
        raise RuntimeError(f'{script} failed with {process.returncode}')
  return times


def report() -> str:
  """Both measurements as Markdown, with the machine's name."""
  table = step_times().to_markdown(index=False, disable_numparse=True)
  starts = ', '.join(f'{k} {v:.1f} s' for k, v in start_times().items())
  cores = len(processes.usable_cores())
  device = jax.devices()[0].device_kind
  return (
    f'One training step at batch {BATCH_SIZE}, float32, BatchNorm; '
    f'{cpu_name()}, {cores} cores, device {device}, jax {jax.__version__}\n\n'
    f'{table}\n\n'
    f'From the command to the first step (configs/digits_cnn.py): {starts}'
  )


def cpu_name() -> str:
  """What the processor calls itself, where the system says."""
  cpuinfo = pathlib.Path('/proc/cpuinfo')
  if cpuinfo.exists():
    for line in cpuinfo.read_text().splitlines():
      if line.startswith('model name'):
        return line.partition(':')[2].strip()
  return platform.processor() or platform.machine()
