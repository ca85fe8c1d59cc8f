"""Ctrl-C and death of a sweep: its workers end with it, its records stay."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

SCRIPT = """
import sys
from configs import base
from normlab.sweeps import processes

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
  processes.train_all(configs, processes=2)
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


@pytest.mark.parametrize('kind', [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_sweep(tmp_path, kind):
  script = tmp_path / 'sweep.py'
  script.write_text(SCRIPT)
  sweep = subprocess.Popen(
    [sys.executable, script, tmp_path],
    start_new_session=True,
    stderr=subprocess.DEVNULL,
  )
  wait_until(lambda: len(trained(tmp_path)) == 2)
  if kind == signal.SIGINT:
    os.killpg(sweep.pid, kind)  # As a terminal does: to all of the group.
  else:
    sweep.kill()  # The parent alone.
  assert sweep.wait(timeout=60) != 0
  wait_until(lambda: not processes_of(sweep.pid))
  started = trained(tmp_path)
  assert len(started) == 2
  ends = [json.loads((p.parent / 'status.json').read_text()) for p in started]
  expected = 'interrupted' if kind == signal.SIGINT else 'running'
  assert [end['status'] for end in ends] == [expected] * 2
