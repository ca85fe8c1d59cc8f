"""Rules of single fields: every field has one, for values of any type."""

import math

import ml_collections
import numpy as np
import pytest
from config_cases import changed
from ml_collections import config_dict

from configs import base
from normlab import errors, records
from normlab.validation import fields, rules

NAN, INF = math.nan, math.inf
LISTED = 'configs/base.py lists all'
# Of every rule: values just inside its range, and outside.
VALUES = {
  rules.TEXT: (('a', 'lr=0.1, batch'), ('', '  ')),
  rules.BOOL: ((True, False, np.True_), ()),
  rules.SEED: ((0, 2**32 - 1, np.uint32(3)), (-1, 2**32)),
  rules.AT_LEAST_ONE: (
    (1, 31_000_000, np.int64(2), np.uint8(3)),
    (0, -3, 2**31, 10**400),
  ),
  rules.NOT_NEGATIVE_INT: ((0, 4), (-1, 2**31)),
  rules.ITERATIONS: ((1, 100), (0, 101)),
  rules.POSITIVE: (
    (1e-9, 10.0, 1, np.float32(0.1), np.int32(1)),
    (0.0, -0.1, INF, NAN, 1e-39, np.float32('nan'), 10**400),
  ),
  rules.NOT_NEGATIVE: ((0.0, 1e-5, np.float16(1)), (-1e-5, INF, NAN, 1e39)),
  rules.FROM_ONE: ((1.0, 1.25), (0.9, INF, NAN)),
  rules.EXPONENT: ((1.0, 1.5, INF), (0.5, NAN, -INF)),
  rules.SHARE: ((0.0, 0.999, 0), (1.0, -0.1, NAN, 1 - 1e-9)),
  rules.MOMENTUM: ((0.0, 1.0), (-0.1, 1.1, NAN)),
  rules.POSITIVE_SHARE: ((0.08, 1.0, 1), (0.0, 1.1, NAN)),
  rules.WIDTH: ((0.1, 2.0, 1), (0.0, -1.0, INF, NAN, 1e30)),
  rules.WIDTHS: (
    ((), [], (1,), (3, 4), [5], (np.int64(6),)),
    ((0,), (2, 1.5), (-1,), (2**21,), [[3]], ('1',)),
  ),
  rules.AXES: (((1, 2, 3), (-1,)), ((), (1.5,), (2**40,), ('1',))),
  rules.BOUNDARIES: (
    ((1,), (4, 8), [2]),
    ((), (0,), (8, 4), (4, 4), (1.5,), ('1',)),
  ),
  rules.NAMES: (
    (('outputs',), ['a', 'layer1/b']),
    ((), ('',), ('a', 'a'), (1,), ('a', None)),
  ),
  rules.STEP_LENGTHS: (
    ((0.0,), (0.5, 1), [np.float32(2)]),
    ((), (-1.0,), (INF,), ('1',)),
  ),
  rules.STATISTICS_NAMES: (
    (('running',), ['batch'], ('recalibrated', 'running', 'batch')),
    ((), ('runing',), ('batch', 'batch'), ('running', None), (['batch'],)),
  ),
  rules.OPTION: (
    (3, 0.5, 'a', '', True, (1, (2.0, 'b')), [3], np.float32(1)),
    (object(), {1}, (None,), b'a', len, 1j),
  ),
  rules.DTYPE: (('float32', 'bfloat16'), ('float16', 'bf16', '')),
}
# Values that are wrong for a field of a type in `base`, whatever its range.
WRONG_TYPES = {
  int: (True, np.True_, 2.0, np.float32(2), '3', NAN, INF, (1,), b'1', int),
  float: (True, np.False_, '0.5', (0.5,), 0.5j, np.array(0.5), object()),
  bool: (0, 1, 1.0, 'True', (True,)),
  str: (3, True, ('a',), ['a'], b'a', {'a'}),
  tuple: ('12', 3, 1.5, (True,), ((1,),), {1}, (NAN,), (None,)),
}


def types(config, prefix=''):
  """The type of each field, also of those that are None."""
  found = {}
  for name, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      found |= types(value, f'{prefix}{name}.')
    else:
      found[prefix + name] = config.get_type(name)
  return found


TYPES = types(base.get_config())
BASE = records.flatten(base.get_config())


def in_source_order(config):
  """The paths of the fields as `base` lists them, sections last."""
  own = config._fields
  sections = [k for k, v in own.items() if isinstance(v, type(config))]
  return [k for k in own if k not in sections] + [
    f'{section}.{k}'
    for section in sections
    for k in config[section]._fields
    if f'{section}.{k}' not in fields.OPTIONS
  ]


def found(field, value):
  return fields.problems(changed({field: value}))


def test_every_field_of_base_has_a_rule_in_the_same_order():
  assert list(fields.FIELDS) == in_source_order(base.get_config())


def test_base_passes():
  assert fields.problems(base.get_config()) == {}


def test_options_are_sections_of_base():
  config = base.get_config()
  for path in fields.OPTIONS:
    section, name = path.split('.')
    assert config[section][name].to_dict() == {}


def values(field):
  """Those inside the range of a field, and those outside."""
  return VALUES[fields.FIELDS[field]._replace(optional=False)]


def test_table_has_every_rule_and_type():
  named = {r for r in vars(rules).values() if isinstance(r, rules.Rule)}
  assert named == set(VALUES)
  assert set(WRONG_TYPES) == set(TYPES.values())


@pytest.mark.parametrize('field', fields.FIELDS)
def test_values_inside_the_range_pass(field):
  for value in values(field)[0]:
    assert fields.FIELDS[field].problem(field, value) is None
  assert found(field, value) == {}


@pytest.mark.parametrize('field', fields.FIELDS)
def test_other_values_are_refused_with_field_value_and_what_is_allowed(field):
  rule = fields.FIELDS[field]
  for value in values(field)[1] + WRONG_TYPES[TYPES[field]]:
    line = (
      f'config.{field}={errors.shown(value)} is not allowed: must be '
      f'{rule.allowed}'
    )
    assert rule.problem(field, value) == line
  assert found(field, value) == {field: line}


@pytest.mark.parametrize('field', fields.FIELDS)
def test_none_is_allowed_where_base_has_none(field):
  optional = BASE[field] is None
  line = None if optional else f'config.{field}=None: a value is needed'
  assert fields.FIELDS[field].problem(field, None) == line


@pytest.mark.parametrize('value', [{}, {'a': 1}], ids=str)
@pytest.mark.parametrize('field', ['seed', 'norm.epsilon', 'model.widths'])
def test_a_section_is_no_value(field, value):
  allowed = fields.FIELDS[field].allowed
  assert found(field, value) == {
    field: f'config.{field} is a section; must be {allowed}'
  }


@pytest.mark.parametrize('section', fields.SECTIONS)
def test_a_value_is_no_section(section):
  for value in (3, None, 'batch', ()):
    line = f'config.{section}={value!r} is not allowed: must be a section'
    assert found(section, value) == {section: f'{line}, as in configs/base.py'}


@pytest.mark.parametrize('section', ['', 'data', 'norm', 'schedule'])
def test_a_field_that_is_like_none_is_refused_with_where_all_stand(section):
  path = f'{section}.qqq' if section else 'qqq'
  lines = found(path, 7)
  assert list(lines) == [path]
  assert lines[path].startswith(f'unknown config field {path!r}; ')
  assert lines[path].endswith(LISTED)


@pytest.mark.parametrize(
  'field, near',
  [
    ('norm.epsilom', ['norm.epsilon', 'optimizer.epsilon']),
    ('optimizer.epsilom', ['optimizer.epsilon', 'norm.epsilon']),
    ('learning_rate', ['optimizer.learning_rate']),
    ('optimiser', ['optimizer']),
    ('model.batchsize', ['batch_size']),
  ],
)
def test_the_three_fields_that_were_perhaps_meant_are_said(field, near):
  line = fields.unknown(field)
  assert f'did you mean {" or ".join(map(repr, near))}' in line
  assert line.count(' or ') <= 2 and line.endswith(LISTED)
  for value in ({'a': 1}, 1):
    assert found(field, value) == {field: line}


@pytest.mark.parametrize('path', ['', 'q', 3, None, 'x' * 10**6])
def test_what_is_like_no_field_is_a_short_line(path):
  line = fields.unknown(path)
  assert line == f'unknown config field {errors.shown(path)}; {LISTED}'


@pytest.mark.parametrize('section', fields.SECTIONS)
def test_a_section_in_place_of_a_field_suggests_its_name(section):
  assert f"did you mean '{section}.name'?" in fields.unknown(section)


@pytest.mark.parametrize('field', fields.FIELDS)
def test_a_field_that_is_missing_is_said(field):
  config = base.get_config().unlock()
  *section, name = field.split('.')
  del (config[section[0]] if section else config)[name]
  assert fields.problems(config) == {
    field: f'the config lacks {field!r}; it must start from configs/base.py'
  }


def test_all_that_is_missing_is_one_line():
  config = base.get_config().unlock()
  del config['norm'], config['seed']
  line = "the config lacks 'norm', 'seed'; it must start from configs/base.py"
  assert fields.problems(config) == dict.fromkeys(['norm', 'seed'], line)


def test_a_name_that_is_no_text_is_refused():
  config = base.get_config().unlock()
  config[1] = 2
  config.norm[0.5] = 3
  assert fields.problems(config) == {
    '': 'the config has a field whose name is not a text',
    'norm': 'config.norm has a field whose name is not a text',
  }


def test_a_reference_without_a_value_is_said():
  divisor = config_dict.FieldReference(2)
  config = changed(
    {
      'batch_size': config_dict.required_placeholder(int),
      'total_steps': divisor + 4,
      'eval_every': config_dict.FieldReference(8) // divisor,
    }
  )
  divisor.set(0)
  lines = fields.problems(config)
  assert list(lines) == ['batch_size', 'eval_every']
  assert 'config.batch_size has no value: Req' in lines['batch_size']
  assert 'ZeroDivisionError' in lines['eval_every']
