"""The surface of the code, as ruff sees it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize('command', [['check'], ['format', '--check']])
def test_ruff_finds_nothing(root, command):
  result = subprocess.run(
    [sys.executable, '-m', 'ruff', *command, '.'],
    cwd=root,
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stdout + result.stderr


def test_no_registry_is_named(root):
  hosts = ('pypi.' + 'org', 'python' + 'hosted', 'index' + '-url')
  names = ('constraints.txt', 'pyproject.toml', 'Makefile', 'README.md')
  for path in (*(root / name for name in names), *root.glob('docs/*.md')):
    text = path.read_text()
    assert not [host for host in hosts if host in text], path
