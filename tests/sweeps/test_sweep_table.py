import json
import math

import pandas as pd
import pytest

from normlab.records import METRICS, STATUS, Record, RecordError
from normlab.sweeps.results import sweep_table

MULTIPLIER = 'optimizer.learning_rate_multiplier'


@pytest.fixture
def make_run(tmp_path):
  """Makes a run: overrides and record, from accuracies at steps 10, 20, ..."""

  def make(overrides, accuracies, status='done', **details):
    number = len(list(tmp_path.iterdir()))
    record = Record(tmp_path / f'run{number}')
    record.create()
    steps = range(10, 10 * len(accuracies) + 1, 10)
    rows = [
      {'step': step, 'split': split, 'accuracy': accuracy, 'loss': 1.0}
      for step, accuracy in zip(steps, accuracies, strict=True)
      for split in ('train', 'validation')
    ]
    details = {'step': 10 * len(accuracies), 'rows': len(rows), **details}
    record.write_status(status, **details)
    (record.path / METRICS).write_text(
      ''.join(f'{json.dumps(row)}\n' for row in rows)
    )
    return overrides, record

  return make


@pytest.fixture
def runs(make_run):
  """A baseline, a faster one, one that diverged, one that failed."""
  return [
    make_run({'norm.name': 'none', MULTIPLIER: 1.0}, [0.5, 0.75, 0.625]),
    make_run({'norm.name': 'batch', MULTIPLIER: 5.0}, [0.75, 0.875, 0.875]),
    make_run(
      {'norm.name': 'none', MULTIPLIER: 5.0}, [0.25], 'diverged', step=13
    ),
    make_run({'norm.name': 'rms', MULTIPLIER: 5.0}, [], 'failed', error='a|b'),
  ]


def test_one_row_a_run_with_its_overrides_in_front(runs):
  table = sweep_table.table(runs)
  assert list(table.columns[:3]) == ['norm.name', MULTIPLIER, 'status']
  assert table['norm.name'].tolist() == ['none', 'batch', 'none', 'rms']
  assert table['status'].tolist() == ['done', 'done', 'diverged', 'failed']
  assert table['run'].tolist() == ['run0', 'run1', 'run2', 'run3']
  assert table.attrs['overrides'] == ['norm.name', MULTIPLIER]


def test_outcomes_are_those_of_the_validations(runs):
  table = sweep_table.table(runs)
  assert table['steps'].tolist() == [30, 30, 13, 0]
  assert table['best_accuracy'].tolist()[:3] == [0.75, 0.875, 0.25]
  assert table['final_accuracy'].tolist()[:3] == [0.625, 0.875, 0.25]
  assert table['diverged_at'].tolist()[2] == 13
  assert table['diverged_at'].count() == 1
  assert table['error'].tolist() == [None, None, None, 'a|b']


def test_the_target_is_the_best_of_the_first_run_that_has_one(runs):
  table = sweep_table.table(runs)
  assert (table.attrs['target'], table.attrs['target_of']) == (0.75, 'run0')
  assert table['steps_to_target'].tolist()[:3] == [20, 10, math.inf]
  later = sweep_table.table([runs[3], runs[1], runs[0]])
  assert (later.attrs['target'], later.attrs['target_of']) == (0.875, 'run1')


def test_a_target_can_be_given(runs):
  table = sweep_table.table(runs, target=0.8)
  assert (table.attrs['target'], table.attrs['target_of']) == (0.8, None)
  assert table['steps_to_target'].tolist()[:3] == [math.inf, 20, math.inf]


def test_whether_an_unfinished_run_gets_there_is_not_known(make_run):
  table = sweep_table.table(
    [
      make_run({}, [0.5, 0.75], 'running'),
      make_run({}, [0.25], 'interrupted'),
      make_run({}, [], 'diverged', step=3),
    ],
    target=0.75,
  )
  steps = table['steps_to_target'].tolist()
  assert steps[0] == 20 and math.isnan(steps[1]) and steps[2] == math.inf


def test_an_unfinished_run_is_no_baseline(make_run):
  runs = [make_run({}, [0.9], 'running'), make_run({}, [0.5])]
  assert sweep_table.table(runs).attrs['target'] == 0.5


@pytest.mark.parametrize('place', ['nowhere', 'file'])
def test_runs_that_are_absent_are_rows(tmp_path, place):
  (tmp_path / 'file').touch()
  table = sweep_table.table([({'seed': 0}, Record(tmp_path / place))])
  assert table['status'].tolist() == ['absent']
  assert math.isnan(table.attrs['target'])
  assert table['steps_to_target'].isna().all()
  assert 'no target' in sweep_table.markdown(table)


def damage_status(path):
  (path / STATUS).write_text('{"status"')


def damage_row(path):
  lines = (path / METRICS).read_text().splitlines()
  (path / METRICS).write_text('\n'.join(['{', *lines[1:]]) + '\n')


def cut_metrics(path):
  (path / METRICS).write_text('')


@pytest.mark.parametrize('damage', [damage_status, damage_row, cut_metrics])
def test_a_damaged_run_has_failed_and_the_others_are_there(runs, damage):
  damage(runs[0][1].path)
  table = sweep_table.table(runs)
  assert table['status'].tolist() == ['failed', 'done', 'diverged', 'failed']
  assert 'is damaged' in table['error'][0] and '\n' not in table['error'][0]
  assert table.attrs['target_of'] == 'run1'


@pytest.mark.parametrize('value', [None, 'x', True])
def test_an_accuracy_that_is_no_number_is_damage(make_run, value):
  table = sweep_table.table([make_run({}, [0.5, value])])
  assert table['status'].tolist() == ['failed']
  assert 'line 3 has the accuracy' in table['error'][0]


def test_an_override_that_a_run_lacks_is_none(make_run):
  table = sweep_table.table(
    [
      make_run({'batch_size': 8}, [0.5]),
      make_run({'model.widths': (4,)}, [0.5]),
    ]
  )
  assert table['batch_size'].tolist() == [8, None]
  assert table['model.widths'].tolist() == [None, (4,)]


def test_markdown_is_for_people(runs):
  text = sweep_table.markdown(sweep_table.table(runs))
  header, _, first, second, third, fourth, _, target = text.splitlines()
  assert 'learning rate multiplier' in header and 'norm ' in header
  assert '75.00%' in first and '20' in first
  assert '87.50%' in second
  assert 'never' in third and '13' in third
  assert 'a\\|b' in fourth and '–' in fourth
  assert '75.00%' in target and '`run0`' in target
  assert len({line.count(' | ') for line in (header, first, third)}) == 1


def test_markdown_leaves_out_what_no_run_has(runs):
  text = sweep_table.markdown(sweep_table.table(runs[:2]))
  assert 'error' not in text and 'diverged' not in text


def test_fields_of_the_same_name_keep_their_path(make_run):
  overrides = {'norm.momentum': 0.9, 'optimizer.momentum': 0.5}
  text = sweep_table.markdown(sweep_table.table([make_run(overrides, [0.5])]))
  assert 'norm.momentum' in text and 'optimizer.momentum' in text


def test_files_are_written_with_full_precision(make_run, tmp_path):
  runs = [make_run({MULTIPLIER: 0.1 + 0.2, 'seed': 0}, [1 / 3])]
  table = sweep_table.table(runs)
  sweep_table.write(table, tmp_path / 'sweep')
  written = {path.name for path in (tmp_path / 'sweep').iterdir()}
  assert written == set(sweep_table.FILES)
  csv = pd.read_csv(tmp_path / 'sweep' / 'sweep.csv')
  assert csv[MULTIPLIER][0] == 0.1 + 0.2
  assert csv['best_accuracy'][0] == 1 / 3
  text = (tmp_path / 'sweep' / 'sweep.md').read_text()
  assert text == f'{sweep_table.markdown(table)}\n'


def test_a_folder_that_cannot_be_written_is_one_line(runs, tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(RecordError, match='cannot be written') as error:
    sweep_table.write(sweep_table.table(runs), tmp_path / 'file')
  assert '\n' not in str(error.value)
