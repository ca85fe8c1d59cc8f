"""Measurements of probes: PROBES/NAME/STEP.npz, a file for each.

A file is written at once and whole, so that a process that dies leaves only
whole ones.
"""

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
  return sorted(path.name for path in root.glob('*'))


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
  for path in root.glob('*/*.npz'):
    if int(path.stem) > step:
      path.unlink()


def read(root: pathlib.Path, name: str) -> dict[str, np.ndarray]:
  """All measurements of a probe: 'step', and arrays [measurements, ...].

  Raises:
    NoMeasurementError: there are none.
    DamagedMeasurementError: a file that cannot be read, or has other arrays.
  """
  files = {int(path.stem): path for path in (root / name).glob('*.npz')}
  if not files:
    there = ', '.join(names(root)) or 'none'
    raise NoMeasurementError(f'no measurements of {name!r}; it has: {there}')
  rows = {step: _arrays(files[step]) for step in sorted(files)}
  shapes = [{k: x.shape for k, x in row.items()} for row in rows.values()]
  for step, own in zip(rows, shapes, strict=True):
    if own != shapes[0]:
      raise DamagedMeasurementError(
        f'{str(files[step])!r} is damaged: it has other arrays than the first'
      )
  return {
    'step': np.array([*rows]),
    **{key: np.stack([row[key] for row in rows.values()]) for key in shapes[0]},
  }


def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    with np.load(path) as file:
      return dict(file)
  except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
    raise DamagedMeasurementError(
      f'{str(path)!r} is damaged: {error}'
    ) from error
