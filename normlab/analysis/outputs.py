"""Result files: tables, texts and a figure beside each other, all or none."""

import errno
import os
import pathlib
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from normlab import records
from normlab.analysis import plotting

FIGURE_SUFFIXES = ('.png', '.svg')


def write(
  path: pathlib.Path,
  contents: Mapping[str, pd.DataFrame | str],
  figure: Figure | None = None,
) -> list[pathlib.Path]:
  """Writes `path` with each suffix; its folder is created if missing.

  An error leaves the files of before.

  Args:
    path: without a suffix.
    contents: suffix to a table, as CSV (compressed for '.csv.gz'), or a text.
    figure: for `FIGURE_SUFFIXES`.

  Returns:
    The files.

  Raises:
    records.RecordError: a file cannot be written; says which, or the folder.
  """
  suffixes = [*contents, *(FIGURE_SUFFIXES if figure else ())]
  places = {path.name + s: path.with_name(path.name + s) for s in suffixes}
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    for place in filter(pathlib.Path.is_dir, places.values()):
      raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), place)
    with records.replacing(*places.values()) as hidden:
      for suffix, content in contents.items():
        write_file(hidden / f'{path.name}{suffix}', content)
      if figure:
        plotting.save(figure, hidden / path.name)
  except OSError as error:
    name = pathlib.Path(error.filename or '').name
    raise records.RecordError(
      f'{str(places.get(name, path.parent))!r} cannot be written: '
      f'{error.strerror}'
    ) from error
  return list(places.values())


def write_file(path: pathlib.Path, content: pd.DataFrame | str) -> None:
  """Writes a table or a text; the same content gives the same bytes."""
  if isinstance(content, str):
    path.write_text(content, encoding='utf-8')
  elif path.suffix == '.gz':
    content.to_csv(
      path, index=False, compression={'method': 'gzip', 'mtime': 0}
    )
  else:
    content.to_csv(path, index=False)
