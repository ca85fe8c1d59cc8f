import errno
import os

import pandas as pd
import pytest
from matplotlib.figure import Figure

from normlab import records
from normlab.analysis import outputs

TABLE = pd.DataFrame({'norm': ['batch'], 'accuracy': [1 / 3]})
SUFFIXES = ('.md', '.csv', '.curves.csv.gz', '.png', '.svg')


def write(path, text='new\n', figure=None):
  contents = {'.md': text, '.csv': TABLE, '.curves.csv.gz': TABLE}
  return outputs.write(path, contents, figure or Figure())


def contents(folder):
  files = (path for path in folder.iterdir() if path.is_file())
  return {path.name: path.read_bytes() for path in files}


def test_all_files_are_written_and_nothing_else(tmp_path):
  written = write(tmp_path / 'below' / 'name')
  assert {path.name for path in written} == {f'name{s}' for s in SUFFIXES}
  assert sorted(written) == sorted((tmp_path / 'below').iterdir())
  found = contents(tmp_path / 'below')
  assert found['name.md'] == b'new\n'
  for name in ('name.csv', 'name.curves.csv.gz'):
    assert pd.read_csv(tmp_path / 'below' / name).equals(TABLE)
  assert found['name.curves.csv.gz'].startswith(b'\x1f\x8b')


def test_a_table_alone_is_one_file(tmp_path):
  assert outputs.write(tmp_path / 'name', {'.csv': TABLE}) == [
    tmp_path / 'name.csv'
  ]
  assert [*contents(tmp_path)] == ['name.csv']


def test_the_same_content_has_the_same_bytes(tmp_path, monkeypatch):
  write(tmp_path / 'name')
  before = contents(tmp_path)
  monkeypatch.setattr('time.time', lambda: 2e9)
  write(tmp_path / 'name')
  assert contents(tmp_path) == before


@pytest.mark.parametrize('suffix', SUFFIXES)
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
  assert contents(tmp_path) == before
  assert len(list(tmp_path.iterdir())) == len(SUFFIXES)


@pytest.mark.parametrize('names_file', [True, False])
def test_a_full_disk_leaves_the_files_of_before(tmp_path, names_file):
  class Full(Figure):
    def savefig(self, path, **_):
      filename = [str(path)] if names_file else []
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *filename)

  write(tmp_path / 'name', 'old\n')
  before = contents(tmp_path)
  with pytest.raises(records.RecordError) as error:
    write(tmp_path / 'name', figure=Full())
  named = tmp_path / 'name.png' if names_file else tmp_path
  assert str(error.value) == (
    f'{str(named)!r} cannot be written: No space left on device'
  )
  assert contents(tmp_path) == before
  assert len(list(tmp_path.iterdir())) == len(SUFFIXES)


def test_what_a_killed_process_left_is_removed(tmp_path):
  hidden = tmp_path / '.name.md.tmp'
  hidden.mkdir()
  (hidden / 'half').touch()
  write(tmp_path / 'name')
  assert not hidden.exists()
