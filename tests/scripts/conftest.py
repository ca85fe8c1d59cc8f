import os
import subprocess
import sys

import forked_scripts
import pytest


@pytest.fixture
def script(root, tmp_path):
  """Runs a script as a process: script('train', *flags, folder=None).

  None leaves anything in the temporary folder.
  """
  temporary = tmp_path / 'tmp'
  temporary.mkdir()
  folders = {'HOME': str(tmp_path / 'home'), 'TMPDIR': str(temporary)}

  def run(name, *flags, folder=None):
    result = subprocess.run(
      [sys.executable, root / 'scripts' / f'{name}.py', *map(str, flags)],
      cwd=folder or root,
      env=os.environ | folders,
      capture_output=True,
      text=True,
      timeout=240,
    )
    assert not list(temporary.iterdir())
    return result

  return run


@pytest.fixture
def forked_script(root, tmp_path_factory):
  """As `script`, without the seconds of imports: see `forked_scripts`."""

  def run(name, *flags):
    folder = tmp_path_factory.mktemp('script') / name
    path = root / 'scripts' / f'{name}.py'
    return forked_scripts.start(path, *map(str, flags), folder=folder).wait()

  return run
