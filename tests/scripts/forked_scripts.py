"""Scripts in processes that are forked from one that has imported everything.

Two seconds less each. JAX has read its environment before the script begins, so
it keeps no compilation cache.
"""

import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
from typing import NamedTuple

import forked


class Started(NamedTuple):
  """A script that runs.

  Attributes:
    process: in which it does.
    streams: the files of its standard output and error.
  """

  process: multiprocessing.Process
  streams: tuple[pathlib.Path, pathlib.Path]

  def wait(self) -> subprocess.CompletedProcess:
    """What it left, when it has ended."""
    self.process.join(240)
    texts = [stream.read_text() for stream in self.streams]
    return subprocess.CompletedProcess([], self.process.exitcode, *texts)


def start(
  path: pathlib.Path,
  *flags: str,
  folder: pathlib.Path,
  environment: dict[str, str] | None = None,
) -> Started:
  """Starts a script.

  Args:
    path: of the script.
    *flags: its command line.
    folder: is created, for what it writes and as its home.
    environment: variables that are set, beside HOME.
  """
  folder.mkdir(parents=True)
  streams = folder / 'stdout', folder / 'stderr'
  changes = {**(environment or {}), 'HOME': str(folder / 'home')}
  process = forked.start(_run, [str(path), *flags], changes, streams)
  return Started(process, streams)


def _run(
  command: list[str],
  environment: dict[str, str],
  streams: tuple[pathlib.Path, ...],
) -> None:
  for number, path in enumerate(streams, start=1):
    with path.open('wb') as file:
      os.dup2(file.fileno(), number)
  os.environ.update(environment)
  script = pathlib.Path(command[0])
  os.chdir(script.parents[1])
  sys.argv = command
  sys.path.insert(0, str(script.parent))
  runpy.run_path(command[0], run_name='__main__')
