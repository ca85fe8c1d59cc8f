import pickle

import numpy as np
import pytest

from normlab import errors, registry

TABLE = {'batch': 1, 'layer': 2, 'group': 3}


def function(first, second=2, *, third, fourth=4):
  return first, second, third, fourth


def test_lookup_lists_the_known_names_and_the_nearest():
  with pytest.raises(errors.ConfigError) as error:
    registry.lookup('norm', 'bacth', TABLE)
  assert str(error.value) == (
    "unknown norm 'bacth'; did you mean 'batch'? known: batch, layer, group"
  )


def test_lookup_suggests_nothing_where_nothing_is_near():
  with pytest.raises(errors.ConfigError) as error:
    registry.lookup('norm', 'xyz', TABLE)
  assert str(error.value) == "unknown norm 'xyz'; known: batch, layer, group"


def test_config_error_holds_several_problems_a_line_each():
  error = errors.ConfigError('a=1', 'b=2')
  assert error.problems == ('a=1', 'b=2')
  assert str(error) == 'a=1\nb=2'
  assert errors.ConfigError('a=1').problems == ('a=1',)
  assert str(errors.ConfigError('a=1')) == 'a=1'


def test_config_error_survives_another_process():
  error = pickle.loads(pickle.dumps(errors.ConfigError('a=1', 'b=2')))
  assert type(error) is errors.ConfigError
  assert error.problems == ('a=1', 'b=2')


class Broken:
  def __repr__(self):
    raise RuntimeError


@pytest.mark.parametrize(
  'value, text',
  [
    ('a\nb', "'a\\nb'"),
    (np.zeros((2, 1)), 'array([[0.], [0.]])'),
    (10**5_000, '<int>'),
    (Broken(), '<Broken>'),
  ],
  ids=['text', 'array', 'int', 'broken'],
)
def test_any_value_is_shown_on_one_line(value, text):
  assert errors.shown(value) == text


def test_a_long_value_is_cut():
  text = errors.shown('x' * 1_000)
  assert len(text) == errors.LONGEST_SHOWN
  assert text.endswith('xxx...')


@pytest.mark.parametrize('name', [['batch'], {}, 3, True, None, 'x' * 10_000])
def test_what_is_no_name_is_unknown(name):
  with pytest.raises(errors.ConfigError, match='^unknown norm .*known: batch'):
    registry.lookup('norm', name, TABLE)


def test_known_names_and_fields_pass():
  assert registry.lookup('norm', 'layer', TABLE) == 2
  registry.check_fields('norm', {'epsilon': 1, 'axis': 2}, ['axis', 'epsilon'])
  registry.check_fields('norm', {}, [])


def test_unknown_field_names_owner_value_and_the_nearest():
  with pytest.raises(errors.ConfigError) as error:
    registry.check_fields("norm 'rms'", {'epsilom': 3}, ['axis', 'epsilon'])
  assert str(error.value) == (
    "norm 'rms': unknown field 'epsilom'; did you mean 'epsilon'? known: axis, "
    'epsilon (got epsilom=3)'
  )


def test_owner_without_fields_says_so():
  with pytest.raises(errors.ConfigError, match=r'known: \(none\)'):
    registry.check_fields("norm 'none'", {'epsilon': 3}, [])


def test_arguments_are_those_declared():
  assert registry.arguments(function) == ['first', 'second', 'third', 'fourth']


def test_missing_arguments_have_no_default_and_no_value():
  assert registry.missing_arguments(function, {}) == ['first', 'third']
  assert registry.missing_arguments(function, {'third': 0}) == ['first']
  assert registry.missing_arguments(function, {'first': 0, 'third': 0}) == []
