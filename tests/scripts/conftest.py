import os
import subprocess
import sys

import pytest


@pytest.fixture
def script(root, tmp_path):
  """Runs a script as a process: script('train', *flags, folder=None)."""

  def run(name, *flags, folder=None):
    return subprocess.run(
      [sys.executable, root / 'scripts' / f'{name}.py', *map(str, flags)],
      cwd=folder or root,
      env=os.environ | {'HOME': str(tmp_path / 'home')},
      capture_output=True,
      text=True,
      timeout=240,
    )

  return run
