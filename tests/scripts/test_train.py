"""scripts/train.py as a process: it trains, and says in one line why not."""

import json

import pytest


def test_a_run_learns_the_digits(forked_script, tmp_path):
  workdir = tmp_path / 'run'
  flags = ['--config=configs/digits_cnn.py', f'--workdir={workdir}']
  flags += ['--config.norm.name=group', '--config.norm.num_groups=8']
  flags += ['--config.total_steps=300', '--config.num_devices=1']
  result = forked_script('train', *flags)
  assert result.returncode == 0, result.stderr
  assert 'done at step 300' in result.stdout
  rows = [json.loads(r) for r in (workdir / 'metrics.jsonl').open()]
  accuracies = [r['accuracy'] for r in rows if r['split'] == 'validation']
  assert accuracies[-1] > 0.9
  assert json.loads((workdir / 'status.json').read_text())['status'] == 'done'
  # Not a terminal: plain lines, a line an evaluation.
  assert '\r' not in result.stderr
  lines = result.stderr.splitlines()
  assert len([line for line in lines if line.startswith('step ')]) == 4
  for start in (
    'parameters ',
    'total ',
    'devices: ',
    'data: digits',
  ):
    assert [line for line in lines if line.startswith(start)], start
  again = forked_script('train', *flags)
  assert again.returncode == 0 and 'nothing to do' in again.stdout


CONFIG = '--config=configs/digits_cnn.py'
BASE = '--config=configs/base.py'
# What is given, and words that the message must have.
# The first of each kind; `test_config_files` and `validation` have all.
INPUT_ERRORS = [
  ([CONFIG, '--config.norm=group'], ['config.norm is a section', 'norm.name']),
  (
    [CONFIG, '--config.optimizer.learning_rate=fast'],
    ["'fast'", 'a finite number'],
  ),
  ([CONFIG, '--config.norm.name=grup'], ["'grup'", "'group'", 'batch_renorm']),
  ([CONFIG, '--config.batch_size=0'], ['batch_size=0', 'at least 1']),
  (
    [BASE, '--config.norm.name=group', '--config.norm.num_groups=5'],
    ['num_groups=5', '32 channels', '1, 2, 4'],
  ),
  (
    [CONFIG, '--config.data.name=mnist', '--config.data.data_dir=/nowhere'],
    ["'mnist'", '/nowhere', 'scripts/prepare_data.py mnist'],
  ),
  (['--config=configs/absent.py'], ['configs/absent.py']),
]
USAGE_ERRORS = [
  ([CONFIG], ['--workdir']),
  ([CONFIG, '--worckdir=x'], ['worckdir']),
  ([CONFIG, '--workdir=/proc/run', 'more'], ['more']),
  ([CONFIG, '--workdir=x', '--noconfig.profile=3'], ['--noconfig.profile=3']),
  ([CONFIG, '--nodry_run=3'], ['--nodry_run=3']),
  (['--flagfile=/nowhere'], ['flagfile: ', "'/nowhere'"]),
  (['--workdir=x', '--config.seed=1'], ['--config is needed']),
]


def assert_one_line(result, status, words):
  assert result.returncode == status, result.stderr
  assert result.stderr.count('\n') == 1, result.stderr
  assert 'Traceback' not in result.stderr and result.stdout == ''
  for word in words:
    assert word in result.stderr


@pytest.mark.parametrize(('flags', 'words'), INPUT_ERRORS, ids=str)
def test_bad_input_is_one_line_and_nothing_written(
  forked_script, tmp_path, flags, words
):
  workdir = tmp_path / 'run'
  result = forked_script('train', *flags, f'--workdir={workdir}')
  assert_one_line(result, 1, words)
  assert not workdir.exists()


@pytest.mark.parametrize(('flags', 'words'), USAGE_ERRORS, ids=str)
def test_a_wrong_command_line_is_status_2(forked_script, flags, words):
  assert_one_line(forked_script('train', *flags), 2, words)


def test_a_config_that_ends_the_process_is_an_error(forked_script, tmp_path):
  file = tmp_path / 'ends.py'
  file.write_text('import sys\nsys.exit()')
  flags = [f'--config={file}', f'--workdir={tmp_path / "run"}']
  result = forked_script('train', *flags)
  assert_one_line(result, 1, [str(file), 'line 2', 'SystemExit'])


def test_overrides_may_stand_in_a_file_of_flags(forked_script, tmp_path):
  file = tmp_path / 'flags'
  file.write_text(f'--config.seed=-1\n{CONFIG}\n--workdir={tmp_path / "run"}')
  result = forked_script('train', f'--flagfile={file}')
  assert_one_line(result, 1, ['config.seed=-1'])


def test_a_work_directory_of_another_run_is_left_alone(forked_script, tmp_path):
  workdir = tmp_path / 'run'
  workdir.mkdir()
  stored = workdir / 'config.json'
  stored.write_text('{"data": {}, "seed": 7}')
  result = forked_script('train', CONFIG, f'--workdir={workdir}')
  assert_one_line(result, 1, ['another config', '--workdir'])
  assert [p.name for p in workdir.iterdir()] == ['config.json']
  assert stored.read_text() == '{"data": {}, "seed": 7}'


def test_a_work_directory_that_cannot_be_written_is_said(
  forked_script, tmp_path
):
  (tmp_path / 'file').write_text('mine')
  for workdir in (tmp_path / 'file', tmp_path / 'file' / 'run', '/proc/run'):
    result = forked_script('train', CONFIG, f'--workdir={workdir}')
    assert_one_line(result, 1, [str(workdir)])
  assert (tmp_path / 'file').read_text() == 'mine'


def test_help_names_the_flags(script):
  result = script('train', '--help')
  assert result.returncode == 0
  assert '--workdir' in result.stdout and '--config' in result.stdout


def test_all_that_is_wrong_is_said_at_once(forked_script, tmp_path):
  flags = [CONFIG, f'--workdir={tmp_path / "run"}', '--config.sed=1']
  flags += ['--config.batch_size', '3.5', '--config.norm.name=bach']
  flags += ['--config.schedule.warmup_steps=5000']
  result = forked_script('train', *flags)
  lines = result.stderr.splitlines()
  assert result.returncode == 1 and len(lines) == 4, result.stderr
  for line, words in zip(
    lines,
    ("'sed'; did you mean 'seed'", "batch_size='3.5'", "'bach'", '=5000'),
    strict=True,
  ):
    assert line.startswith('train.py: ') and words in line
  assert not (tmp_path / 'run').exists()


def test_a_dry_run_says_what_a_run_needs_and_leaves_no_trace(script, tmp_path):
  result = script('train', BASE, '--dry_run', '--config.model.name=mlp')
  assert result.returncode == 0, result.stderr
  for words in ('total', 'devices: ', 'memory of a device', 'MiB'):
    assert words in result.stdout
  assert not list(tmp_path.glob('home/**/*'))
