"""scripts/evaluate.py as a process: evaluates, or says why not in one line."""

import pytest

from configs import base
from normlab import records, validation
from normlab.journal import checkpoints
from normlab.training import preparation


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """The folder of a run that was stopped before its first step."""
  record = records.Record(tmp_path_factory.mktemp('runs') / 'run')
  config = base.get_config()
  config.update({'ema_decay': 0.9, 'recalibration_examples': 32})
  config.model.update({'name': 'mlp', 'widths': (4,)})
  record.create()
  record.write_config(config)
  record.write_status('interrupted', step=0)
  saved = checkpoints.Checkpoints(record, keep=1)
  state = preparation.initial_state(
    preparation.prepare(validation.check(config))
  )
  saved.save(state, checkpoints.Position())
  saved.wait()
  saved.close()
  return record.path


@pytest.mark.slow
def test_a_checkpoint_is_evaluated_and_nothing_changes(script, folder):
  before = {path: path.stat().st_mtime_ns for path in folder.rglob('*')}
  flags = ['--statistics=recalibrated', '--split=validation', '--ema']
  flags += ['--batch_size=64', '--step=0']
  result = script('evaluate', f'--run={folder}', *flags)
  assert result.returncode == 0, result.stderr
  title, _, _, _, *rows = result.stdout.splitlines()
  assert title == (
    f'{folder}: interrupted, checkpoint of step 0; validation, recalibrated '
    'statistics, averaged parameters'
  )
  names = [row.split('|')[1].strip() for row in rows]
  classes = [f'class_accuracy of {i}' for i in range(10)]
  assert names == ['loss', 'accuracy', 'ece', *classes]
  assert before == {path: path.stat().st_mtime_ns for path in folder.rglob('*')}


@pytest.mark.parametrize(
  ('flags', 'status', 'words'),
  [
    ([], 2, ['--run is needed']),
    (['--run=RUN', '--statistics=batches'], 1, ["'batches'", "'batch'"]),
    (['--run=RUN', '--step=7'], 1, ['checkpoint of step 7']),
  ],
  ids=str,
)
def test_what_cannot_be_evaluated_is_one_line(
  forked_script, folder, flags, status, words
):
  flags = [flag.replace('RUN', str(folder)) for flag in flags]
  result = forked_script('evaluate', *flags)
  assert result.returncode == status, result.stderr
  assert result.stderr.count('\n') == 1 and 'Traceback' not in result.stderr
  assert result.stdout == ''
  for word in words:
    assert word in result.stderr


def test_help_names_the_flags(script):
  result = script('evaluate', '--help')
  assert result.returncode == 0
  assert '--statistics' in result.stdout and '--split' in result.stdout
