import contextlib
import json
import os
import sys

from normlab import records
from normlab.sweeps.display import Display


def write_rows(path, *steps):
  path.mkdir(exist_ok=True)
  rows = [
    {'step': step, 'split': 'validation', 'accuracy': 0.5, 'loss': 1.0}
    for step in steps
  ]
  text = ''.join(f'{json.dumps(row)}\n' for row in rows)
  (path / records.METRICS).write_text(text)


def test_a_run_that_goes_back_to_its_checkpoint_is_shown_as_any(
  tmp_path, capsys, monkeypatch
):
  path = tmp_path / 'run'
  write_rows(path, 50)
  monkeypatch.setattr('normlab.sweeps.display.POLL_EVERY', 0)
  display = Display({str(path): 100}, finished=0)
  display.started(str(path))
  write_rows(path, 10)
  display.poll()
  records.Record(path).write_status('done', step=100, rows=1)
  display.ended(str(path))
  line = capsys.readouterr().err.splitlines()[-1]
  assert '[1/1] run: done, best validation accuracy 50.00%; ' in line
  assert line.endswith('about 0 s left')


def test_on_a_terminal_the_counts_and_the_best_fit_into_80_columns(
  tmp_path, monkeypatch
):
  ours, theirs = os.openpty()
  monkeypatch.setenv('COLUMNS', '80')
  path = tmp_path / 'run'
  write_rows(path, 50)
  records.Record(path).write_status('done', step=100, rows=1)
  with os.fdopen(theirs, 'w') as stream:
    monkeypatch.setattr(sys, 'stderr', stream)
    lengths = {str(path): 1_000_000, str(tmp_path / 'other'): 1_000_000}
    display = Display(lengths, finished=0)
    display.started(str(path))
    display.ended(str(path))
    display.close()
  text = b''
  with contextlib.suppress(OSError):  # The other end is closed.
    while part := os.read(ours, 65536):
      text += part
  os.close(ours)
  last = text.decode().strip().split('\r')[-1]
  assert '1 done, 0 running of 2, best 50.00%' in last
