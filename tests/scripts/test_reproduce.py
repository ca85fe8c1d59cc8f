"""scripts/reproduce.py, prepare_data.py and benchmark.py as processes."""

import importlib.util
import pathlib

import pytest


@pytest.mark.parametrize(
  ('arguments', 'status', 'words'),
  [
    (['spedup'], 1, ["'spedup'", "'speedup'"]),
    (['speedup', '--scale=digit'], 1, ["'digit'", "'digits'", 'cifar10']),
    (
      ['speedup', '--scale=cifar10', '--data_dir=/nowhere'],
      1,
      ['/nowhere', 'scripts/prepare_data.py cifar10'],
    ),
    ([], 2, ['EXPERIMENT']),
    (['speedup', '--list'], 2, ['speedup']),
    (['speedup', '--processes=0'], 2, ['processes']),
  ],
)
def test_bad_input_is_one_line_and_nothing_written(
  forked_script, tmp_path, arguments, status, words
):
  workdir = tmp_path / 'runs'
  result = forked_script('reproduce', *arguments, f'--workdir={workdir}')
  assert result.returncode == status, result.stderr
  assert result.stderr.count('\n') == 1 and 'Traceback' not in result.stderr
  for word in words:
    assert word in result.stderr
  assert not workdir.exists()


def test_a_folder_that_cannot_be_written_is_said(forked_script):
  result = forked_script('reproduce', 'speedup', '--workdir=/proc/runs')
  assert result.returncode == 1 and result.stderr.count('\n') == 1
  assert '/proc/runs' in result.stderr


def test_experiments_are_listed_without_a_folder(forked_script):
  result = forked_script('reproduce', '--list')
  assert result.returncode == 0, result.stderr
  assert 'speedup: ' in result.stdout and '--scale=lesson' in result.stdout
  assert '  claim 1: a network with BatchNorm' in result.stdout


def test_preparing_the_embedded_data_says_where_they_are(
  forked_script, tmp_path
):
  result = forked_script('prepare_data', 'digits', f'--data_dir={tmp_path}')
  assert result.returncode == 0
  assert pathlib.Path(result.stdout.strip()).is_file()


@pytest.mark.skipif(
  importlib.util.find_spec('tensorflow') is not None, reason='it is installed'
)
def test_preparing_a_download_names_the_extra(script, tmp_path):
  result = script('prepare_data', 'mnist', f'--data_dir={tmp_path / "data"}')
  assert result.returncode == 1 and result.stderr.count('\n') == 1
  assert "'.[prepare]'" in result.stderr
  assert not (tmp_path / 'data').exists()


@pytest.mark.parametrize(
  ('arguments', 'status', 'words'),
  [
    (['norms', '--names='], 2, ['--names= is empty']),
    (['train', '--names=batch'], 2, ['--names', 'not of train']),
    (['train', '--out=nowhere/x.md'], 2, ['--out=nowhere/x.md', 'folder']),
    (['norm'], 1, ["'norm'", "'norms'"]),
  ],
)
def test_a_benchmark_that_cannot_be_is_one_line(
  forked_script, arguments, status, words
):
  result = forked_script('benchmark', *arguments)
  assert result.returncode == status and result.stderr.count('\n') == 1
  assert all(word in result.stderr for word in words), result.stderr
