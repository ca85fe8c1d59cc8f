"""Measurements of probes in the folder of a run."""

import numpy as np
import pytest

from normlab import records


@pytest.fixture
def record(tmp_path):
  record = records.Record(tmp_path)
  for step in (0, 40, 20):
    arrays = {'loss': np.float32(step), 'mean/layer1': np.arange(3) + step}
    record.write_probe(step, 'landscape', arrays)
  return record


def test_measurements_are_stacked_in_the_order_of_their_steps(record):
  found = record.probe('landscape')
  assert found['step'].tolist() == [0, 20, 40]
  assert found['loss'].tolist() == [0, 20, 40]
  assert found['mean/layer1'].tolist() == [
    [0, 1, 2],
    [20, 21, 22],
    [40, 41, 42],
  ]


def test_the_same_arrays_have_the_same_bytes(record, tmp_path):
  path = tmp_path / 'probes' / 'landscape' / '20.npz'
  before = path.read_bytes()
  path.unlink()
  test_arrays = {'loss': np.float32(20), 'mean/layer1': np.arange(3) + 20}
  record.write_probe(20, 'landscape', test_arrays)
  assert path.read_bytes() == before


def test_what_was_measured_after_a_checkpoint_is_taken_off(record):
  record.cut(rows=0, step=20)
  assert record.probe('landscape')['step'].tolist() == [0, 20]


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04', b'x' * 100])
def test_a_damaged_measurement_is_named(record, tmp_path, content):
  path = tmp_path / 'probes' / 'landscape' / '40.npz'
  path.write_bytes(content)
  with pytest.raises(records.RecordError, match='40.npz.* is damaged'):
    record.probe('landscape')


def test_half_a_measurement_is_damaged(record, tmp_path):
  path = tmp_path / 'probes' / 'landscape' / '40.npz'
  path.write_bytes(path.read_bytes()[:-30])
  with pytest.raises(records.RecordError, match='40.npz.* is damaged'):
    record.probe('landscape')


def test_measurements_with_other_arrays_are_damaged(record):
  record.write_probe(60, 'landscape', {'loss': np.float32(0)})
  with pytest.raises(
    records.RecordError, match='60.npz.* or the file before it is damaged'
  ):
    record.probe('landscape')


def test_a_probe_that_did_not_measure_is_refused_with_those_that_did(record):
  with pytest.raises(
    records.RecordError, match="no measurements of 'affine'; it has: landscape"
  ):
    record.probe('affine')
  with pytest.raises(records.RecordError, match='it has: none'):
    records.Record(record.path / 'empty').probe('affine')


def test_a_folder_without_a_run_is_not_loaded(tmp_path):
  with pytest.raises(records.RecordError, match='holds no run'):
    records.load(tmp_path)


def test_a_measurement_that_is_missing_is_named(record, tmp_path):
  for step in (60, 80):
    record.write_probe(
      step,
      'landscape',
      {'loss': np.float32(step)} | {'mean/layer1': np.arange(3) + step},
    )
  (tmp_path / 'probes' / 'landscape' / '60.npz').unlink()
  with pytest.raises(records.RecordError, match='60.npz.* is missing'):
    record.probe('landscape')


def test_other_files_are_no_measurements(record, tmp_path):
  folder = tmp_path / 'probes' / 'landscape'
  (folder / '40 (copy).npz').write_bytes((folder / '40.npz').read_bytes())
  (tmp_path / 'probes' / 'empty').mkdir()
  assert record.probe('landscape')['step'].tolist() == [0, 20, 40]
  assert record.probes() == ['landscape']
  for name in ('../probes/landscape', None, ''):
    with pytest.raises(records.RecordError, match='no measurements'):
      record.probe(name)


def test_a_file_of_another_kind_is_damaged(record, tmp_path):
  np.save(tmp_path / 'array.npy', np.zeros(3))
  path = tmp_path / 'probes' / 'landscape' / '40.npz'
  path.write_bytes((tmp_path / 'array.npy').read_bytes())
  with pytest.raises(records.RecordError, match='40.npz.*: not an npz file'):
    record.probe('landscape')
