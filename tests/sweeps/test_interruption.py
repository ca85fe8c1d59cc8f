"""Ctrl-C and death of a sweep: its workers end with it, its records stay."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from normlab.runtime import interruption

SCRIPT = """
import sys
from configs import base
from normlab.runtime import interruption
from normlab.sweeps.runners.processes import LocalProcesses
from normlab.sweeps.train_all import train_all

if __name__ == '__main__':
  configs = {}
  for seed in range(6):
    config = base.get_config()
    config.seed = seed
    config.model.name = 'mlp'
    config.model.widths = (8,)
    config.total_steps = 1_000_000
    config.eval_every = config.log_every = 100
    configs[f'{sys.argv[1]}/run{seed}'] = config
  with interruption.watched() as stop:
    try:
      train_all(configs, runner=LocalProcesses(2), stop=stop)
    except interruption.InterruptedSweep as error:
      print(error)
      sys.exit(interruption.STATUS)
"""


def wait_until(condition):
  deadline = time.monotonic() + 60
  while not condition():
    assert time.monotonic() < deadline, 'nothing happened in a minute'
    time.sleep(0.1)


def processes_of(group):
  listing = subprocess.run(
    ['ps', '-eo', 'pgid=,stat='], capture_output=True, text=True, check=True
  )
  rows = [line.split() for line in listing.stdout.splitlines()]
  return [stat for pgid, stat in rows if int(pgid) == group and stat[0] != 'Z']


def trained(folder):
  """The metrics of the runs that have made steps."""
  found = folder.glob('run*/metrics.jsonl')
  return [path for path in found if path.stat().st_size]


@pytest.mark.slow
@pytest.mark.parametrize(
  'kind', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
)
def test_workers_end_with_the_sweep(root, tmp_path, kind):
  script = tmp_path / 'sweep.py'
  script.write_text(SCRIPT)
  sweep = subprocess.Popen(
    [sys.executable, script, tmp_path],
    env={**os.environ, 'PYTHONPATH': str(root)},
    start_new_session=True,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
  )
  wait_until(lambda: len(trained(tmp_path)) == 2)
  if kind == signal.SIGINT:
    os.killpg(sweep.pid, kind)  # As a terminal does: to all of the group.
  else:
    sweep.send_signal(kind)  # The parent alone.
  words, _ = sweep.communicate(timeout=60)
  wait_until(lambda: not processes_of(sweep.pid))
  started = trained(tmp_path)
  assert len(started) == 2
  ends = [json.loads((p.parent / 'status.json').read_text()) for p in started]
  if kind == signal.SIGKILL:
    assert [end['status'] for end in ends] == ['running'] * 2
  else:
    assert sweep.returncode == interruption.STATUS
    assert '6 of 6 runs are left' in words
    assert [end['status'] for end in ends] == ['interrupted'] * 2
    assert all((p.parent / 'checkpoints').iterdir() for p in started)
