import pytest

from configs import base
from normlab import errors, records
from normlab.sweeps import plan
from normlab.sweeps.language import hyper

MULTIPLIER = 'optimizer.learning_rate_multiplier'


def find(*rows, config=None):
  return plan.members(config or base.get_config(), rows)


def problems(*rows, config=None):
  with pytest.raises(errors.ConfigError) as error:
    find(*rows, config=config)
  return error.value.problems


def test_a_member_has_the_config_with_its_overrides():
  first, second = find(
    {'config.norm.name': 'group', f'config.{MULTIPLIER}': 5},
    {'norm.name': 'layer'},
  )
  assert first.config.norm.name == 'group'
  assert first.config.optimizer.learning_rate_multiplier == 5.0
  assert first.overrides == {'norm.name': 'group', MULTIPLIER: 5.0}
  assert (first.rows, second.rows) == ((1,), (2,))
  assert second.config.norm.name == 'layer'
  assert second.config.is_locked


def test_the_config_is_left_as_it_is():
  config = base.get_config()
  before = config.to_json()
  find({'seed': 1}, {'seed': 2}, config=config)
  assert config.to_json() == before


def test_names_say_what_differs_and_are_different():
  found = find(
    *hyper.product(
      [
        hyper.sweep('norm.name', ['batch', 'layer']),
        hyper.sweep('seed', [0, 1]),
        hyper.sweep(f'config.{MULTIPLIER}', [1e30, 1e-30]),
        hyper.fixed('batch_size', 32),
      ]
    )
  )
  assert len({member.name for member in found}) == 8
  assert found[0].name.startswith(
    'base-norm=batch-learning_rate_multiplier=1e30-seed=0-'
  )
  assert all(member.name == records.run_name(member.config) for member in found)


def test_a_name_does_not_depend_on_defaults_that_are_written_down():
  plain = find({'seed': 0}, {'seed': 1})
  written = find(
    {'seed': 1, 'batch_size': 32}, {'seed': 0, 'norm.name': 'batch'}
  )
  assert {m.name for m in plain} == {m.name for m in written}


def test_rows_with_the_same_resolved_config_are_one_run():
  found = find(
    {MULTIPLIER: 1},
    {MULTIPLIER: 5},
    {'config.' + MULTIPLIER: 5.0},
    {'label': 'other', MULTIPLIER: 5},
  )
  assert [member.rows for member in found] == [(1,), (2, 3, 4)]


def test_numbers_of_optional_fields_have_one_type():
  (member,) = find({'norm.momentum': 1}, {'norm.momentum': 1.0})
  assert isinstance(member.config.norm.momentum, float)


def test_every_bad_key_and_value_is_reported_with_its_row():
  found = problems(
    {'seed': 1},
    {'config.optimizer.lerning_rate': 1},
    {MULTIPLIER: 'x', 'total_steps': 10.0},
    {MULTIPLIER: -1.0},
    {'norm.name': 'bach'},
  )
  assert len(found) == 5
  assert found[0].startswith(
    "row 2: unknown config field 'optimizer.lerning_rate'"
  )
  assert "did you mean 'optimizer.learning_rate'" in found[0]
  for line, words in zip(
    found[1:],
    [
      ['row 3', MULTIPLIER, "'x'", 'number'],
      ['row 3', 'total_steps', '10.0', 'whole number'],
      ['row 4', MULTIPLIER, '-1.0', 'above 0'],
      ['row 5', "'bach'", "'batch'"],
    ],
    strict=True,
  ):
    assert all(word in line for word in words), line


def test_the_same_problem_is_one_line_with_all_its_rows():
  bad = [{'seed': i, 'foo': 1} for i in range(5)]
  (line,) = problems(*bad)
  assert line.startswith('all 5 rows: ') and "'foo'" in line
  (line,) = problems(*bad[:3], {'seed': 7}, bad[4])
  assert line.startswith('rows 1-3, 5: ')


@pytest.mark.parametrize(
  ('row', 'words'),
  [
    ({'config.norm': {'name': 'layer'}}, ['config.norm', 'section']),
    ({'seed': 1, 'config.seed': 2}, ['config.seed', 'twice']),
    ({'seed': True}, ['config.seed', 'True']),
    ({'seed': None}, ['config.seed', 'needed']),
    ({MULTIPLIER: True}, [MULTIPLIER, 'True', 'number']),
    ({'config.': 1}, ["''", 'configs/base.py']),
    ({3: 1}, ['3', 'config field']),
    ({'norm.name.x': 1}, ["'norm.name.x'"]),
    ({MULTIPLIER: 10**400}, [MULTIPLIER]),
    ({'model.widths': 'wide'}, ['model.widths', "'wide'"]),
    ({'': 1}, ["''"]),
    ({'norm.num_groups': 4}, ['num_groups', "'batch'"]),
  ],
)
def test_a_row_that_does_not_fit_is_said(row, words):
  (line,) = problems(row)
  assert line.startswith('row 1: ') and '\n' not in line
  assert all(word in line for word in words), line


def test_a_long_list_of_overrides_gives_a_name_that_a_folder_can_have():
  fields = [
    'norm.momentum',
    'norm.epsilon',
    'optimizer.momentum',
    'optimizer.weight_decay',
    'model.dropout',
    'optimizer.clip_norm',
    'optimizer.learning_rate',
    'recalibration_examples',
    MULTIPLIER,
  ]
  rows = [
    {
      f: (0.1 + i / 7 if f != 'recalibration_examples' else 9 + i)
      for f in fields
    }
    for i in range(3)
  ]
  for member in find(*rows):
    assert len(member.name) <= 200


def test_a_field_that_is_not_set_is_not_in_the_name():
  first, second = find({'norm.name': 'layer'}, {'norm.momentum': 0.9})
  assert 'momentum' not in first.name and 'momentum=0.9' in second.name
