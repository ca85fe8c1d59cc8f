"""Measurements of probes: PROBES/NAME/STEP.npz, a file for each.

A file is written at once and whole, so that a process that dies leaves only
whole ones.
"""

import itertools
import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np

from normlab.records import json_files


class NoMeasurementError(ValueError):
  """A probe that has not measured."""


class DamagedMeasurementError(ValueError):
  """A measurement that cannot be read, or does not fit the others."""


def names(root: pathlib.Path) -> list[str]:
  """The probes that have measured."""
  return sorted(path.name for path in root.glob('*') if measured(path))


def write(
  root: pathlib.Path, step: int, name: str, arrays: Mapping[str, np.ndarray]
) -> None:
  """Writes a measurement; the same arrays are the same bytes."""
  path = root / name / f'{step}.npz'
  path.parent.mkdir(parents=True, exist_ok=True)
  with json_files.replacing(path) as hidden:
    np.savez(hidden / path.name, **arrays)


def cut(root: pathlib.Path, step: int) -> None:
  """Removes what was measured after a step."""
  for name in names(root):
    for at, path in measured(root / name).items():
      if at > step:
        path.unlink()


def read(root: pathlib.Path, name: str) -> dict[str, np.ndarray]:
  """All measurements of a probe: 'step', and arrays [measurements, ...].

  Raises:
    NoMeasurementError: there are none.
    DamagedMeasurementError: a file that cannot be read, is missing, or has
      other arrays than the one before.
  """
  if name not in names(root):
    there = ', '.join(names(root)) or 'none'
    raise NoMeasurementError(f'no measurements of {name!r}; it has: {there}')
  files = measured(root / name)
  check_complete(root / name, [*files])
  rows = [arrays(path) for path in files.values()]
  shapes = [{key: x.shape for key, x in row.items()} for row in rows]
  later = [*files.values()][1:]
  for path, (before, own) in zip(
    later, itertools.pairwise(shapes), strict=True
  ):
    if own != before:
      raise DamagedMeasurementError(
        f'{str(path)!r} or the file before it is damaged: they have other '
        'arrays, or other shapes'
      )
  return {
    'step': np.array([*files]),
    **{key: np.stack([row[key] for row in rows]) for key in shapes[0]},
  }


def measured(folder: pathlib.Path) -> dict[int, pathlib.Path]:
  """The files of a probe by their step, rising; what else is there is not."""
  files = [p for p in folder.glob('*.npz') if p.stem.isdecimal()]
  return {int(p.stem): p for p in sorted(files, key=lambda p: int(p.stem))}


def check_complete(folder: pathlib.Path, steps: list[int]) -> None:
  """Refuses measurements with a gap: a run measures at one period.

  Raises:
    DamagedMeasurementError: names the first that is missing.
  """
  gaps = np.diff(steps)
  wide = np.flatnonzero(gaps > gaps.min(initial=np.iinfo(int).max))
  if len(wide):
    missing = steps[wide[0]] + gaps.min()
    raise DamagedMeasurementError(
      f'{str(folder / f"{missing}.npz")!r} is missing'
    )


def arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
  """The arrays of a measurement.

  Raises:
    DamagedMeasurementError: no whole npz file.
  """
  problem = 'not an npz file'
  try:
    if zipfile.is_zipfile(path):
      with np.load(path) as file:
        return dict(file)
  except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
    problem = str(error)
  raise DamagedMeasurementError(f'{str(path)!r} is damaged: {problem}')
