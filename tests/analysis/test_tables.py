import math

import pandas as pd
import pytest

from configs import base
from normlab.analysis import tables
from normlab.journal import writers
from normlab.records import METRICS, Record


@pytest.fixture
def make_record(tmp_path):
  """Makes a run from its rows (step, split, loss, accuracy) and status."""

  def make(name, rows, status='done', **details):
    record = Record(tmp_path / name)
    record.create()
    record.write_config(base.get_config())
    details = {'step': rows[-1][0] if rows else 0, **details}
    record.write_status(status, rows=len(rows), **details)
    writer = writers.JsonLinesWriter(record.path / METRICS)
    for step, split, loss, accuracy in rows:
      writer.write(step, split, {'loss': loss, 'accuracy': accuracy})
    writer.close()
    return record

  return make


@pytest.fixture
def done(make_record):
  rows = [
    (10, 'train', 9.0, 0.0),
    (10, 'validation', 0.5, 0.75),
    (20, 'validation', 0.25, 0.875),
    (20, 'test', 0.3, 0.8),
  ]
  return make_record('done', rows)


def test_one_row_an_evaluation_of_the_split(done):
  table = tables.evaluations([({'network': 'A', 'seed': 3}, done)])
  assert table.to_dict('list') | {'diverged_at': None} == {
    'network': ['A', 'A'],
    'seed': [3, 3],
    'status': ['done', 'done'],
    'diverged_at': None,
    'step': [10, 20],
    'loss': [0.5, 0.25],
    'accuracy': [0.75, 0.875],
  }
  assert table['diverged_at'].isna().all()


def test_split_is_chosen(done):
  table = tables.evaluations([({'seed': 0}, done)], split='test')
  assert table['accuracy'].tolist() == [0.8]


def test_diverged_run_has_its_step_in_every_row(done, make_record):
  rows = [(10, 'validation', 2.0, 0.1), (20, 'validation', math.nan, 0.1)]
  diverged = make_record('diverged', rows, 'diverged', step=17)
  table = tables.evaluations([({'seed': 0}, done), ({'seed': 1}, diverged)])
  at = table.set_index(['seed', 'step'])
  assert at.loc[1, 'diverged_at'].tolist() == [17, 17]
  assert at.loc[0, 'diverged_at'].isna().all()
  assert math.isnan(at.loc[(1, 20), 'loss'])
  assert at.loc[(1, 20), 'accuracy'] == 0.1
  assert set(at.loc[1, 'status']) == {'diverged'}


def test_run_that_diverged_before_its_first_evaluation_is_a_row(
  done, make_record
):
  early = make_record('early', [], 'diverged', step=2)
  table = tables.evaluations([({'seed': 0}, done), ({'seed': 1}, early)])
  (row,) = table[table['seed'] == 1].to_dict('records')
  assert row['step'] == 0 and row['diverged_at'] == 2
  assert math.isnan(row['accuracy']) and math.isnan(row['loss'])


def test_metrics_are_floats_even_if_all_are_missing(make_record):
  early = make_record('early', [], 'diverged', step=2)
  table = tables.evaluations([({'seed': 1}, early)])
  assert table['accuracy'].dtype == table['loss'].dtype == float


def test_unfinished_run_keeps_its_status(make_record):
  rows = [(10, 'validation', 1.0, 0.5)]
  running = make_record('running', rows, 'running')
  table = tables.evaluations([({'seed': 0}, running)])
  assert table['status'].tolist() == ['running']


def test_rows_follow_the_order_of_the_runs(done, make_record):
  other = make_record('other', [(5, 'validation', 1.0, 0.5)])
  table = tables.evaluations([({'seed': 9}, other), ({'seed': 0}, done)])
  assert table['seed'].tolist() == [9, 0, 0]
  assert isinstance(table.index, pd.RangeIndex)


def test_what_is_measured_joins_the_evaluations_by_step(done):
  def measure(record):
    assert record is done
    return pd.DataFrame({'cosine/layer2': [1 / 3, -2e-7 / 3]}, index=[5, 20])

  table = tables.evaluations([({'seed': 3}, done)], measure=measure)
  assert table['step'].tolist() == [5, 10, 20]
  assert table['accuracy'].isna().tolist() == [True, False, False]
  assert table['seed'].tolist() == [3, 3, 3]
  # To five significant digits, also of a small number.
  assert table['cosine/layer2'].tolist()[::2] == [0.33333, -6.6667e-08]
  assert table['cosine/layer2'].isna().tolist() == [False, True, False]


def test_a_run_that_was_measured_and_never_evaluated_has_its_rows(make_record):
  record = make_record('short', [], 'diverged')
  measured = pd.DataFrame({'norm': [2.0]}, index=[0])
  table = tables.evaluations([({}, record)], measure=lambda record: measured)
  assert table[['step', 'norm']].to_numpy().tolist() == [[0, 2.0]]
  assert table['accuracy'].isna().all() and table['diverged_at'].tolist() == [0]


def test_training_rows_are_columns_of_their_own(done, make_record):
  table = tables.evaluations([({}, done)], measure=tables.training)
  assert table['train_loss'].tolist()[0] == 9.0
  assert table['loss'].tolist() == [0.5, 0.25]
  nothing = tables.training(make_record('none', []))
  assert nothing.empty and 'train_accuracy' in nothing
