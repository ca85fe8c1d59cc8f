"""scripts/sweep.py as a process."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

FILE = """
from configs import base

def get_config():
  config = base.get_config()
  config.model.name = 'mlp'
  config.model.widths = (8,)
  config.total_steps = 900
  config.log_every = config.eval_every = 150
  config.checkpoint_every = 300
  return config

def get_hyper(hyper):
  return hyper.sweep('config.optimizer.learning_rate', [1e-2, 1e30, 1e-1])
"""


@pytest.fixture
def file(tmp_path):
  path = tmp_path / 'swept.py'
  path.write_text(FILE)
  return path


@pytest.mark.slow
def test_an_interrupted_sweep_is_continued(root, file, tmp_path):
  workdir = tmp_path / 'sweep'
  command = [
    *(sys.executable, root / 'scripts' / 'sweep.py', f'--config={file}'),
    *(f'--workdir={workdir}', '--runner=one_process'),
  ]
  options = {
    'env': os.environ | {'HOME': str(tmp_path / 'home')},
    'stderr': subprocess.PIPE,
    'stdout': subprocess.PIPE,
    'text': True,
    'cwd': root,
  }
  first = subprocess.Popen(command, **options)
  while not any(p.stat().st_size for p in workdir.glob('*/metrics.jsonl')):
    assert first.poll() is None
    time.sleep(0.05)
  first.send_signal(signal.SIGINT)
  _, words = first.communicate(timeout=60)
  assert first.returncode == 75, words
  assert 'continues them' in words.splitlines()[-1]
  (status,) = workdir.glob('*/status.json')
  assert json.loads(status.read_text())['status'] == 'interrupted'
  second = subprocess.run(command, timeout=240, **options)
  assert second.returncode == 0, second.stderr
  table = pd.read_csv(workdir / 'sweep.csv')
  assert list(table['status']) == ['done', 'diverged', 'done']
  assert 'wrote ' in second.stdout and '| diverged |' in second.stdout
  (metrics,) = workdir.glob('*learning_rate=0.01*/metrics.jsonl')
  steps = [
    row['step']
    for row in map(json.loads, metrics.read_text().splitlines())
    if row['split'] == 'validation'
  ]
  assert steps == [150, 300, 450, 600, 750, 900]


@pytest.mark.parametrize(
  ('arguments', 'status', 'words'),
  [
    ([], 2, ['--workdir is needed']),
    (['--workdir=W', '--runner=rays'], 2, ['rays', 'one_process']),
    (['--workdir=W', '--address=auto'], 1, ['--address=auto']),
    (['--workdir=W', '--target=2'], 2, ['target']),
    (['--workdir=W', '--target=nan'], 2, ['--target=nan', 'finite']),
    (['--workdir=W', '--num_gpus=inf'], 2, ['--num_gpus=inf', 'finite']),
    (
      ['--workdir=W', '--config.seed=x', '--config.sed=1'],
      1,
      ['seed', "'sed'"],
    ),
  ],
)
def test_bad_input_is_lines_and_nothing_written(
  forked_script, file, tmp_path, arguments, status, words
):
  workdir = tmp_path / 'runs'
  given = [argument.replace('=W', f'={workdir}') for argument in arguments]
  result = forked_script('sweep', f'--config={file}', *given)
  assert result.returncode == status, result.stderr
  assert 'Traceback' not in result.stderr
  for word in words:
    assert word in result.stderr
  assert not workdir.exists()
