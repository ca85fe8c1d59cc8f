"""Two real processes that train one run, over loopback."""

import os
import socket
import subprocess
import sys

import pytest

FLAGS = [
  '--config=configs/digits_cnn.py',
  '--config.model.widths=(8, 8)',
  '--config.total_steps=12',
  '--config.eval_every=5',
  '--config.log_every=4',
  '--config.checkpoint_every=6',
]


@pytest.fixture
def train(root, tmp_path):
  """Starts scripts/train.py: train(workdir, devices, *flags)."""

  def start(workdir, devices, *flags):
    xla = f'--xla_force_host_platform_device_count={devices}'
    environment = {
      'HOME': str(tmp_path / 'home'),
      'XLA_FLAGS': f'{xla} --xla_backend_optimization_level=1',
    }
    return subprocess.Popen(
      [
        sys.executable,
        root / 'scripts' / 'train.py',
        *FLAGS,
        f'--workdir={tmp_path / workdir}',
        *flags,
      ],
      cwd=root,
      env=os.environ | environment,
      stderr=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )

  return start


def free_port():
  with socket.socket() as found:
    found.bind(('127.0.0.1', 0))
    return found.getsockname()[1]


def pair(train, workdir, *flags):
  """The output of each of two processes with one device each."""
  coordinator = f'--coordinator=127.0.0.1:{free_port()}'
  both = [
    train(
      workdir, 1, coordinator, '--num_processes=2', f'--process_id={i}', *flags
    )
    for i in range(2)
  ]
  outputs = [process.communicate(timeout=240) for process in both]
  return [p.returncode for p in both], outputs


def test_two_processes_train_as_one_with_both_shards(train, tmp_path):
  codes, outputs = pair(train, 'two')
  assert codes == [0, 0], outputs
  one = train('one', 2)
  _, error = one.communicate(timeout=240)
  assert one.returncode == 0, error
  rows = [
    (tmp_path / name / 'metrics.jsonl').read_text() for name in ('two', 'one')
  ]
  assert rows[0] == rows[1]
  # Process 0 alone speaks and writes.
  assert 'done at step 12' in outputs[0][0] and 'done' not in outputs[1][0]
  assert 'devices: 2 of 2' in outputs[0][1]
  checkpoints = {p.name for p in (tmp_path / 'two' / 'checkpoints').iterdir()}
  assert '12' in checkpoints

  # What the two left is read by one, and by two; and refused by both alike.
  codes, outputs = pair(train, 'two')
  assert codes == [0, 0] and 'nothing to do' in outputs[0][0]
  codes, outputs = pair(train, 'two', '--config.seed=1')
  assert codes == [1, 1]
  assert all('holds a run of another config' in error for _, error in outputs)


@pytest.mark.parametrize(
  'flags, text',
  [
    (['--num_processes=2'], '--num_processes=2 is not allowed without'),
    (
      ['--coordinator=here'],
      "--coordinator='here' is not allowed: must be HOST:",
    ),
    (['--coordinator=127.0.0.1:1234'], '--num_processes=None is not allowed'),
    (
      ['--coordinator=127.0.0.1:1', '--num_processes=2', '--process_id=2'],
      '--process_id=2 is not allowed with --coordinator: must be from 0 to 1',
    ),
  ],
)
def test_flags_that_do_not_fit_are_refused(train, tmp_path, flags, text):
  process = train('run', 1, *flags)
  _, error = process.communicate(timeout=60)
  assert process.returncode == 1
  assert text in error and error.count('\n') == 1
  assert not (tmp_path / 'run').exists()
