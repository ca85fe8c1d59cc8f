"""The folder of one run."""

import contextlib
import errno
import fcntl
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections
import numpy as np

from normlab.records import json_files, measurements
from normlab.records.identity import differences, resolved

CONFIG, METRICS, STATUS = 'config.json', 'metrics.jsonl', 'status.json'
TIMING, CHECKPOINTS = 'timing.jsonl', 'checkpoints'
PROBES = 'probes'
LOCK = '.lock'
# Says which sweep a folder of runs holds.
SWEEP = 'sweep.json'


class RecordError(ValueError):
  """A work directory that cannot be used; the text is one line for a person."""


class InUseError(RecordError):
  """Another process trains in the work directory."""


class Record:
  """The folder of one run."""

  def __init__(self, path: str | os.PathLike[str]):
    """Names the folder, which need not exist yet."""
    self.path = pathlib.Path(path)

  @property
  def config(self) -> dict[str, Any] | None:
    """The resolved config; None where there is no run.

    Raises:
      RecordError: a file that is not JSON, or no config.
    """
    config = self._read_json(CONFIG)
    if config is not None and not isinstance(config.get('data'), dict):
      raise self._damaged(CONFIG, 'not the config of a run')
    return config

  @property
  def status(self) -> dict[str, Any]:
    """'status' and what belongs to it; {'status': 'absent'} without a run.

    Raises:
      RecordError: a file that is not JSON, or no status.
    """
    status = self._read_json(STATUS)
    if status is None:
      return {'status': 'absent'}
    if problem := json_files.status_problem(status):
      raise self._damaged(STATUS, problem)
    return status

  @property
  def is_finished(self) -> bool:
    """Whether the run has its result; without a readable status it has none."""
    try:
      return self.status['status'] in json_files.FINISHED
    except RecordError:
      return False

  def metrics(self) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl, in the order written.

    A last line that is torn is left out: its run was stopped while writing.

    Raises:
      RecordError: a line that is no row (see `json_files.row_problem`), or a
        file that is unreadable.
    """
    return self._read_rows(METRICS)

  def timing(self) -> list[dict[str, Any]]:
    """The rows of timing.jsonl."""
    return self._read_rows(TIMING)

  def probes(self) -> list[str]:
    """The probes that have measured."""
    return measurements.names(self.path / PROBES)

  def probe(self, name: str) -> dict[str, np.ndarray]:
    """What a probe measured, with the measurements as the first axis.

    Returns:
      'step', int64 [measurements], rising, and the arrays of the probe by name:
      [measurements, ...].

    Raises:
      RecordError: there is no such measurement, or a damaged one.
    """
    try:
      return measurements.read(self.path / PROBES, name)
    except measurements.NoMeasurementError as error:
      raise RecordError(f'{str(self.path)!r} has {error}') from error
    except measurements.DamagedMeasurementError as error:
      raise RecordError(str(error)) from error

  def whole_rows(self) -> int:
    """The number of rows of metrics.jsonl in front of the first damaged one."""
    return len(json_files.parse(self._read(METRICS) or b'')[0])

  def cut(self, rows: int, step: int) -> None:
    """Takes off what was written after a checkpoint.

    Args:
      rows: of metrics.jsonl that remain.
      step: of the last row of timing.jsonl, and the last measurement of each
        probe, that remain.
    """
    timing = 0
    with contextlib.suppress(RecordError):  # Without it, only a rate is lost.
      timing = sum(row['step'] <= step for row in self.timing())
    for name, keep in ((METRICS, rows), (TIMING, timing)):
      path = self.path / name
      if path.exists():
        with path.open('rb+') as file:
          file.truncate(sum(len(file.readline()) for _ in range(keep)))
    measurements.cut(self.path / PROBES, step)

  def check_whole(self) -> None:
    """Refuses a finished run whose metrics are not all there.

    Raises:
      RecordError: rows are missing, or damaged.
    """
    status = self.status
    if status['status'] not in json_files.FINISHED:
      return
    rows = self.metrics()
    if len(rows) != status['rows']:
      last = rows[-1]['step'] if rows else 0
      raise self._damaged(
        METRICS,
        f'it ends at step {last} (row {len(rows)}), the run at '
        f'{status["step"]} (row {status["rows"]}); delete the folder to train '
        'the run again',
      )

  def last_step(self) -> int:
    """The step of the newest whole row; 0 where there is none."""
    with (
      contextlib.suppress(OSError),  # It is shown, and decides nothing.
      (self.path / METRICS).open('rb') as file,
    ):
      # A row has at most a number for each of many classes.
      file.seek(max(0, file.seek(0, os.SEEK_END) - 2**20))
      for line in reversed(file.read().split(b'\n')[:-1]):
        row, _ = json_files.parse_row(line)
        if row is not None:
          return row['step']
    return 0

  def write_config(self, config: ml_collections.ConfigDict) -> None:
    """Writes the resolved config."""
    json_files.write_json(self.path / CONFIG, resolved(config))

  def write_status(self, status: str, **details: Any) -> None:
    """Replaces the status, at once and whole; on a full disk, in place."""
    value = {'status': status, **details}
    try:
      json_files.write_json(self.path / STATUS, value)
    except OSError as error:
      if error.errno != errno.ENOSPC or not (self.path / STATUS).exists():
        raise
      with (self.path / STATUS).open('r+', encoding='utf-8') as file:
        file.write(json_files.as_text(value))
        file.truncate()

  def check_usable(self, config: ml_collections.ConfigDict) -> None:
    """Refuses a folder that a run of `config` must not write to.

    Raises:
      RecordError: the folder holds a run of another config, or files that are
        not a run's; or it is not a folder, or cannot be written.
    """
    with _readable(self.path):
      parent = next(p for p in (self.path, *self.path.parents) if p.exists())
    if not parent.is_dir():
      raise RecordError(
        f'workdir {str(self.path)!r} cannot be a folder: {str(parent)!r} is a '
        'file'
      )
    stored = self.config
    if stored is None:
      ours = METRICS, TIMING, STATUS, CHECKPOINTS, SWEEP
      strangers = [f for f in ours if (self.path / f).exists()]
      if strangers:
        raise RecordError(
          f'workdir {str(self.path)!r} holds {strangers[0]} but no {CONFIG}, '
          'so it is no run that can be continued; choose another --workdir'
        )
    elif difference := differences(stored, resolved(config)):
      field, (there, here) = next(iter(difference.items()))
      raise RecordError(
        f'workdir {str(self.path)!r} holds a run of another config '
        f'({field} is {there!r} there, {here!r} here); choose another --workdir'
      )
    if not self.is_finished and not os.access(parent, os.W_OK | os.X_OK):
      raise RecordError(
        f'workdir {str(self.path)!r} cannot be written: no permission in '
        f'{str(parent)!r}'
      )

  def write_probe(
    self, step: int, name: str, arrays: Mapping[str, np.ndarray]
  ) -> None:
    """Writes a measurement, at once and whole; the same arrays, same bytes."""
    measurements.write(self.path / PROBES, step, name, arrays)

  def create(self) -> None:
    """Creates the folder, or raises RecordError if it cannot be written."""
    with _writable(self.path):
      self.path.mkdir(parents=True, exist_ok=True)
      (self.path / LOCK).touch()

  @contextlib.contextmanager
  def locked(self) -> Iterator[None]:
    """Creates the folder and keeps other processes from training in it.

    The lock dies with the process that holds it.

    Raises:
      RecordError: the folder cannot be written.
      InUseError: another process trains.
    """
    self.create()
    with contextlib.ExitStack() as stack:
      with _writable(self.path):
        file = stack.enter_context((self.path / LOCK).open('w'))
      try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except OSError as error:
        raise InUseError(
          f'workdir {str(self.path)!r} is in use by another process'
        ) from error
      yield

  def check_kinds(self) -> None:
    """RecordError for a folder in the place of a file, or the reverse."""
    for name in (CONFIG, METRICS, TIMING, STATUS):
      if (self.path / name).is_dir():
        raise RecordError(
          f'{str(self.path / name)!r} is a directory, and should be a file; '
          'move it away'
        )
    if (self.path / CHECKPOINTS).is_file():
      raise RecordError(
        f'{str(self.path / CHECKPOINTS)!r} is a file, and should be a folder; '
        'move it away'
      )

  def _read(self, name: str) -> bytes | None:
    """A whole file; None where there is none."""
    try:
      with _readable(self.path / name):
        return (self.path / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
      return None

  def _read_json(self, name: str) -> dict[str, Any] | None:
    content = self._read(name)
    if content is None:
      return None
    try:
      value = json_files.loads(content)
    except ValueError as error:
      raise self._damaged(name, f'not JSON ({error})') from error
    if not isinstance(value, dict):
      raise self._damaged(name, 'not an object')
    return value

  def _read_rows(self, name: str) -> list[dict[str, Any]]:
    rows, problem = json_files.parse(self._read(name) or b'')
    if problem:
      raise self._damaged(name, problem)
    return rows

  def _damaged(self, name: str, problem: str) -> RecordError:
    return RecordError(f'{str(self.path / name)!r} is damaged: {problem}')


def load(path: str | os.PathLike[str]) -> Record:
  """The record of a run.

  Raises:
    RecordError: there is no run, or its config is damaged.
  """
  record = Record(path)
  if record.config is None:
    raise RecordError(f'{str(record.path)!r} holds no run: no {CONFIG}')
  return record


@contextlib.contextmanager
def _writable(folder: pathlib.Path) -> Iterator[None]:
  try:
    yield
  except OSError as error:
    raise RecordError(
      f'workdir {str(folder)!r} cannot be written: {error.strerror}'
    ) from error


@contextlib.contextmanager
def _readable(path: pathlib.Path) -> Iterator[None]:
  """Says what cannot be read; a file that is not there is not an error."""
  try:
    yield
  except (FileNotFoundError, NotADirectoryError):
    raise
  except OSError as error:
    raise RecordError(
      f'{str(path)!r} cannot be read: {error.strerror}'
    ) from error
