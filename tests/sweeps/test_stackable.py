"""Which runs can be one program."""

import pytest
from stacked_runs import config

from normlab.sweeps.runners.stacked import stackable
from normlab.validation import fields


def sizes(*members):
  runs = {str(i): config(**fields) for i, fields in enumerate(members)}
  return [list(group) for group in stackable.groups(runs)]


def test_every_declared_field_is_one_of_a_config():
  assert set(stackable.STACKABLE) <= set(fields.FIELDS)
  assert len(set(stackable.STACKABLE)) == len(stackable.STACKABLE)


def test_runs_that_differ_in_numbers_are_one_group():
  assert sizes(
    {},
    {'seed': 4, 'optimizer.learning_rate': 1.0},
    {'norm.momentum': 0.5, 'model.dropout': 0.5},
    {'schedule.name': 'cosine', 'label': 'another'},
    {'schedule.name': 'step', 'schedule.boundaries': (3,)},
  ) == [['0', '1', '2', '3', '4']]


@pytest.mark.parametrize(
  'other',
  [
    {'batch_size': 16},
    {'total_steps': 13},
    {'norm.name': 'batch_renorm'},
    {'model.widths': (9,)},
    {'optimizer.name': 'sgd', 'optimizer.momentum': None},
    {'keep_checkpoints': 3},
    {'checkpoint_every': 7},
    {'data.random_crop': 1},
    {'eval_statistics': ('batch',)},
    {'norm.use_scale': False},
  ],
  ids=str,
)
def test_runs_of_other_programs_are_other_groups(other):
  assert sizes({}, other, {'seed': 1}) == [['0', '2'], ['1']]


@pytest.mark.parametrize(
  'field', ['ema_decay', 'optimizer.clip_norm', 'norm.epsilon']
)
def test_a_number_and_none_are_two_programs(field):
  assert sizes({}, {field: 0.5}, {field: 0.25}) == [['0'], ['1', '2']]


@pytest.mark.parametrize(
  'other',
  [
    {'data.name': 'imagenette'},
    {'num_devices': 2},
    {'debug_nans': True},
    {'profile': True},
  ],
  ids=str,
)
def test_runs_that_cannot_be_stacked_are_alone(other):
  assert sizes({}, other, {**other, 'seed': 1}, {'seed': 1}) == [
    ['0', '3'],
    ['1'],
    ['2'],
  ]


def test_arguments_are_the_constants_in_which_members_differ():
  members = [config(), config(seed=1), config(**{'norm.momentum': 0.5})]
  assert stackable.arguments(members) == ('norm.momentum',)
  assert stackable.arguments(members[:2]) == ()


def test_own_code_is_given_its_numbers_as_they_are():
  # An argument of the program is an array, which it may not expect.
  own = {'norm.name': 'some.layers:Norm', 'norm.epsilon': 0.1}
  for field, together in (
    ('norm.epsilon', [1, 1]),
    ('optimizer.learning_rate', [2]),
  ):
    assert list(map(len, sizes(own, {**own, field: 0.2}))) == together
  assert list(map(len, sizes(own, {**own, 'code_dir': '/elsewhere'}))) == [2]
