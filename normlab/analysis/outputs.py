"""Result files: a table, a text and a figure beside each other, all or none."""

import errno
import os
import pathlib

import pandas as pd
from matplotlib.figure import Figure

from normlab import records
from normlab.analysis import plotting

SUFFIXES = ('.csv', '.md', '.png', '.svg')


def write(
  path: pathlib.Path, *, table: pd.DataFrame, text: str, figure: Figure
) -> None:
  """Writes `path` with each of `SUFFIXES`; its folder is created if missing.

  An error leaves the files of before.

  Args:
    path: without a suffix.

  Raises:
    records.RecordError: a file cannot be written; says which, or the folder.
  """
  places = {path.name + s: path.with_name(path.name + s) for s in SUFFIXES}
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    for place in filter(pathlib.Path.is_dir, places.values()):
      raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), place)
    with records.replacing(*places.values()) as hidden:
      table.to_csv(hidden / f'{path.name}.csv', index=False)
      (hidden / f'{path.name}.md').write_text(text, encoding='utf-8')
      plotting.save(figure, hidden / path.name)
  except OSError as error:
    name = pathlib.Path(error.filename or '').name
    raise records.RecordError(
      f'{str(places.get(name, path.parent))!r} cannot be written: '
      f'{error.strerror}'
    ) from error
