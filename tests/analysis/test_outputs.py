import errno
import os

import pandas as pd
import pytest
from matplotlib.figure import Figure

from normlab import records
from normlab.analysis import outputs

TABLE = pd.DataFrame({'norm': ['batch'], 'accuracy': [1 / 3]})


def write(path, text='new\n'):
  outputs.write(path, table=TABLE, text=text, figure=Figure())


def contents(folder):
  files = (path for path in folder.iterdir() if path.is_file())
  return {path.name: path.read_bytes() for path in files}


def test_all_files_are_written_and_nothing_else(tmp_path):
  write(tmp_path / 'below' / 'name')
  written = contents(tmp_path / 'below')
  assert [*sorted(written)] == [f'name{s}' for s in outputs.SUFFIXES]
  assert written['name.md'] == b'new\n'
  assert pd.read_csv(tmp_path / 'below' / 'name.csv').equals(TABLE)
  assert len(list((tmp_path / 'below').iterdir())) == 4


@pytest.mark.parametrize('suffix', outputs.SUFFIXES)
def test_a_folder_in_the_place_of_a_file_is_named_and_no_file_replaced(
  suffix, tmp_path
):
  write(tmp_path / 'name', 'old\n')
  place = tmp_path / f'name{suffix}'
  place.unlink()
  place.mkdir()
  before = contents(tmp_path)
  with pytest.raises(records.RecordError) as error:
    write(tmp_path / 'name')
  assert str(error.value) == f'{str(place)!r} cannot be written: Is a directory'
  assert contents(tmp_path) == before and len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize('names_file', [True, False])
def test_a_full_disk_leaves_the_files_of_before(tmp_path, names_file):
  class Full(Figure):
    def savefig(self, path, **_):
      filename = [str(path)] if names_file else []
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *filename)

  write(tmp_path / 'name', 'old\n')
  before = contents(tmp_path)
  with pytest.raises(records.RecordError) as error:
    outputs.write(tmp_path / 'name', table=TABLE, text='new', figure=Full())
  named = tmp_path / 'name.png' if names_file else tmp_path
  assert str(error.value) == (
    f'{str(named)!r} cannot be written: No space left on device'
  )
  assert contents(tmp_path) == before and len(list(tmp_path.iterdir())) == 4


def test_what_a_killed_process_left_is_removed(tmp_path):
  hidden = tmp_path / '.name.csv.tmp'
  hidden.mkdir()
  (hidden / 'half').touch()
  write(tmp_path / 'name')
  assert not hidden.exists()
