import math

import ml_collections
import pytest

from configs import base
from normlab import records, validation
from normlab.names import ConfigError

NAN, INF = math.nan, math.inf

# Of every field with a rule: values just inside, and outside.
VALUES = {
  'seed': ((0, 2**32 - 1), (-1, 2**32)),
  'batch_size': ((1,), (0, -3)),
  'total_steps': ((1,), (0,)),
  'eval_every': ((1,), (0,)),
  'eval_batch_size': ((1,), (0,)),
  'log_every': ((1,), (0,)),
  'steps_per_call': ((1, 25), (0,)),
  'data.random_crop': ((0, 4), (-1,)),
  'model.dropout': ((0.0, 0.99), (1.0, -0.1, NAN)),
  'model.widths': (((1,), (3, 4)), ((), (0,), (2, 1.5), (-1,))),
  'model.width': ((0.1, 2.0), (0.0, -1.0, INF, NAN)),
  'norm.epsilon': ((0.0, 1e-5), (-1e-5, INF, NAN)),
  'norm.momentum': ((0.0, 1.0), (-0.1, 1.1, NAN)),
  'norm.num_groups': ((1,), (0,)),
  'norm.group_size': ((1,), (0,)),
  'norm.reduction_axes': (((1, 2, 3), (-1,)), ((), (1.5,))),
  'norm.r_max': ((1.0, 3.0), (0.9, INF, NAN)),
  'norm.d_max': ((0.0, 5.0), (-0.1, INF, NAN)),
  'norm.schedule_scale': ((0.01,), (0.0, INF, NAN)),
  'norm.ghost_batch_size': ((1, 8), (0, -1)),
  'norm.p': ((1.0, 1.5, INF), (0.5, NAN, -INF)),
  'norm.mean_range': ((0.0, 0.5), (-0.1, INF, NAN)),
  'norm.max_std': ((1.0, 1.25), (0.9, INF, NAN)),
  'norm.mean_jitter': ((0.0, 0.1), (-0.1, INF, NAN)),
  'norm.std_jitter': ((0.0, 0.1), (-0.1, INF, NAN)),
  'norm.alpha_init': ((0.5,), (0.0, -1.0, INF, NAN)),
  'norm.n_steps': ((1,), (0,)),
  'optimizer.learning_rate': ((1e-9, 10.0), (0.0, -0.1, INF, NAN)),
  'optimizer.learning_rate_multiplier': ((30.0,), (0.0, INF, NAN)),
  'optimizer.weight_decay': ((0.0, 1e-4), (-1e-4, INF, NAN)),
  'optimizer.clip_norm': ((0.1,), (0.0, INF, NAN)),
  'optimizer.momentum': ((0.0, 0.999), (1.0, -0.1, NAN)),
  'optimizer.decay': ((0.0, 0.999), (1.0, -0.1, NAN)),
  'optimizer.beta1': ((0.0, 0.999), (1.0, -0.1, NAN)),
  'optimizer.beta2': ((0.0, 0.999), (1.0, -0.1, NAN)),
  'optimizer.epsilon': ((1e-8,), (0.0, -1e-8, INF, NAN)),
  'schedule.warmup_steps': ((0, 3), (-1,)),
  'schedule.decay_rate': ((0.1, 1.0), (0.0, 1.1, NAN)),
  'schedule.decay_steps': ((1,), (0,)),
  'schedule.boundaries': (
    ((1,), (4, 8)),
    ((), (0,), (8, 4), (4, 4), (1.5,)),
  ),
  'schedule.final_fraction': ((0.0, 1.0), (-0.1, 1.1, NAN)),
}
CASES = {
  kind: [
    (field, value) for field, values in VALUES.items() for value in values[i]
  ]
  for i, kind in enumerate(['good', 'bad'])
}


@pytest.fixture
def config():
  return base.get_config()


def set_field(config, field, value):
  *sections, name = field.split('.')
  section = config[sections[0]] if sections else config
  section[name] = value


def message(function, *arguments):
  with pytest.raises(ConfigError) as error:
    function(*arguments)
  text = str(error.value)
  assert '\n' not in text
  return text


def types(config, prefix=''):
  """The type of each field, also of those that are None."""
  found = {}
  for name, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      found |= types(value, f'{prefix}{name}.')
    else:
      found[prefix + name] = config.get_type(name)
  return found


def test_every_numeric_field_has_a_rule(config):
  numeric = {
    field for field, kind in types(config).items() if kind in (int, float)
  }
  assert len(numeric) > 25
  assert numeric <= set(validation.RULES)


def test_every_rule_is_of_a_field(config):
  assert set(validation.RULES) <= set(types(config))


def test_every_field_named_as_required_or_optional_exists(config):
  fields = set(types(config))
  assert set(validation.OPTIONAL) | set(validation.REQUIRED) <= fields
  assert set(validation.OPTIONAL_SECTIONS) <= set(config)


def test_table_has_every_rule():
  assert set(VALUES) == set(validation.RULES)


@pytest.mark.parametrize('field, value', CASES['good'])
def test_value_inside_the_range_passes(config, field, value):
  set_field(config, field, value)
  validation.check_values(config)


@pytest.mark.parametrize('field, value', CASES['bad'])
def test_value_outside_is_refused_with_field_value_and_what_is_allowed(
  config, field, value
):
  set_field(config, field, value)
  text = message(validation.check_values, config)
  allowed = validation.RULES[field].allowed
  assert text == (f'config.{field}={value!r} is not allowed: must be {allowed}')


@pytest.mark.parametrize(
  'field',
  [f for f, v in records.flatten(base.get_config()).items() if v is not None],
)
def test_none_is_refused_where_base_has_a_value(config, field):
  set_field(config, field, None)
  text = message(validation.check_values, config)
  assert text == f'config.{field}=None: a value is needed'


def test_base_config_passes_and_is_described(config):
  description = validation.check(config)
  assert description.image_shape == (8, 8, 1)
  assert description.num_classes == 10


GOOD = [
  {'model.name': 'mlp', 'model.widths': (4, 4), 'norm.name': 'layer'},
  {'model.name': 'inception', 'model.width': 1 / 16, 'norm.name': 'none'},
  {'norm.name': 'group', 'norm.group_size': 8},
  {'norm.name': 'batch_renorm', 'norm.r_max': 2.0, 'norm.d_max': 1.0},
  {'norm.name': 'rms', 'norm.reduction_axes': (1, 2, 3)},
  {'norm.name': 'lp_batch', 'norm.p': INF},
  {'norm.name': 'weight', 'norm.mean_only_batch_norm': True},
  {'norm.ghost_batch_size': 8, 'norm.debias': True, 'norm.unbiased': True},
  {'norm.name': 'noisy_batch', 'norm.max_std': 2.0},
  {'norm.name': 'instance', 'data.random_crop': 8, 'data.random_flip': True},
  {'optimizer.name': 'adamw', 'optimizer.beta1': 0.8, 'batch_size': 1_077},
  {'schedule.name': 'step', 'schedule.boundaries': (400, 800)},
  {'schedule.name': 'cosine', 'schedule.warmup_steps': 10},
]


@pytest.mark.parametrize('fields', GOOD)
def test_good_config_passes(config, fields):
  for field, value in fields.items():
    set_field(config, field, value)
  assert validation.check(config).sizes['train'] == 1_077


# What only the whole check finds: fields, and what the message must contain.
REFUSED = [
  (
    {'batch_size': 1_078},
    ['config.batch_size=1078', '1,077 examples', 'from 1 to 1077'],
  ),
  (
    {'data.random_crop': 9},
    ['config.data.random_crop=9', '8 pixels', 'from 0 to 8'],
  ),
  (
    {'norm.ghost_batch_size': 5},
    ["config.norm.name='batch'", 'ghost_batch_size=5 must divide', '32 ex'],
  ),
  (
    {'norm.name': 'lp_batch', 'norm.convention': 'l2'},
    ["config.norm.name='lp_batch'", "convention='l2' must be one of"],
  ),
  (
    {'norm.name': 'weight', 'norm.momentum': 0.9},
    ["norm 'weight'", 'momentum=0.9', 'mean_only_batch_norm=True'],
  ),
  (
    {'norm.name': 'group', 'norm.num_groups': 5},
    ["config.norm.name='group'", 'num_groups=5 does not divide the 32'],
  ),
  (
    {'norm.name': 'group', 'norm.group_size': 7},
    ["config.norm.name='group'", 'group_size=7 does not divide the 32'],
  ),
  (
    {'norm.name': 'group', 'norm.num_groups': 4, 'norm.group_size': 8},
    ['num_groups=4', 'group_size=8', 'set one of them'],
  ),
  (
    {'norm.name': 'group', 'model.widths': (16, 48)},
    ['num_groups=32 does not divide the 16 channels'],
  ),
  (
    {'norm.name': 'layer', 'norm.reduction_axes': (7,)},
    ["config.norm.name='layer'", 'reduction_axes=7'],
  ),
  ({'norm.name': 'bach'}, ["unknown norm 'bach'; did you mean 'batch'?"]),
  (
    {'norm.name': 'layer', 'norm.momentum': 0.9},
    ['config.norm.momentum=0.9', "norm 'layer' has no such field", 'epsilon'],
  ),
  ({'model.name': 'cn'}, ["unknown model 'cn'; did you mean 'cnn'?"]),
  (
    {'model.width': 0.5},
    ['config.model.width=0.5', "model 'cnn' has no such field", 'widths'],
  ),
  ({'model.activation': 'rlu'}, ["unknown activation 'rlu'", "'relu'"]),
  ({'optimizer.name': 'adm'}, ["unknown optimizer 'adm'", "'adam'"]),
  (
    {'optimizer.beta1': 0.5},
    ['config.optimizer.beta1=0.5', "'momentum' has no such field"],
  ),
  ({'schedule.name': 'cos'}, ["unknown schedule 'cos'", "'cosine'"]),
  (
    {'schedule.decay_rate': 0.5},
    ['config.schedule.decay_rate=0.5', "'constant' has no such field"],
  ),
  (
    {'schedule.name': 'exponential'},
    ["config.schedule: schedule 'exponential' needs decay_rate"],
  ),
  (
    {
      'optimizer.learning_rate': 1e30,
      'optimizer.learning_rate_multiplier': 1e30,
    },
    ['learning_rate=1e+30', 'learning_rate_multiplier=1e+30', 'finite'],
  ),
  ({'data.name': 'digit'}, ["unknown data set 'digit'", "'digits'"]),
  (
    {'data.name': 'mnist', 'data.data_dir': '/nowhere'},
    ["'mnist' is not prepared in data_dir '/nowhere'"],
  ),
]


@pytest.mark.parametrize('fields, parts', REFUSED)
def test_config_that_cannot_be_trained_is_refused(config, fields, parts):
  for field, value in fields.items():
    set_field(config, field, value)
  text = message(validation.check, config)
  for part in parts:
    assert part in text


@pytest.mark.parametrize(
  'made', [{}, ml_collections.ConfigDict({'seed': 1})], ids=['dict', 'other']
)
def test_a_config_that_does_not_start_from_base_is_refused(made):
  assert 'configs/base.py' in message(validation.check, made)


def test_nothing_is_written_or_changed(config, tmp_path, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  before = records.resolved(config)
  validation.check(config)
  assert records.resolved(config) == before
  assert list(tmp_path.iterdir()) == []
