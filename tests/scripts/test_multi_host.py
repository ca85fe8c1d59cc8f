"""Two real processes that train one run, over loopback."""

import itertools
import os
import socket

import forked_scripts
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
  count = itertools.count()

  def start(workdir, devices, *flags):
    number = f'--xla_force_host_platform_device_count={devices}'
    return forked_scripts.start(
      root / 'scripts' / 'train.py',
      *FLAGS,
      f'--workdir={tmp_path / workdir}',
      *flags,
      folder=tmp_path / 'processes' / str(next(count)),
      environment={'XLA_FLAGS': f'{os.environ["XLA_FLAGS"]} {number}'},
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
  ended = [process.wait() for process in both]
  codes = [process.returncode for process in ended]
  return codes, [(process.stdout, process.stderr) for process in ended]


@pytest.mark.slow
def test_two_processes_train_as_one_with_both_shards(train, tmp_path):
  codes, outputs = pair(train, 'two')
  assert codes == [0, 0], outputs
  one = train('one', 2).wait()
  assert one.returncode == 0, one.stderr
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
  ended = train('run', 1, *flags).wait()
  assert ended.returncode == 1
  assert text in ended.stderr and ended.stderr.count('\n') == 1
  assert not (tmp_path / 'run').exists()
