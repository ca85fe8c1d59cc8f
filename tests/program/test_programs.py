import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from normlab import errors
from normlab.data import Augmentation
from normlab.program import programs


@pytest.fixture
def config():
  config = base.get_config()
  config.model.name = 'mlp'
  config.model.widths = (4,)
  return config


def changed(config, **fields):
  copy = config.copy_and_resolve_references()
  for field, value in fields.items():
    copy.update_from_flattened_dict({field.replace('__', '.'): value})
  return copy


NUMBERS = {
  'optimizer__learning_rate': 0.5,
  'optimizer__learning_rate_multiplier': 30.0,
  'optimizer__momentum': 0.5,
  'optimizer__weight_decay': 1e-3,
  'schedule__name': 'cosine',
  'schedule__warmup_steps': 7,
  'data__data_dir': 'elsewhere',
  'total_steps': 7,
  'eval_every': 3,
  'log_every': 3,
  'checkpoint_every': 3,
  'ema_decay': 0.9,
  'eval_statistics': ('batch',),
}
CHOICES = {
  'model__activation': 'tanh',
  'model__dropout': 0.5,
  'model__widths': (5,),
  'norm__name': 'layer',
  'norm__epsilon': 1e-3,
  'optimizer__name': 'nesterov',
  'data__random_crop': 1,
  'data__random_flip': True,
  'microbatches': 2,
  'log_layer_norms': True,
}


@pytest.mark.parametrize('field', list(NUMBERS))
def test_numbers_leave_the_program_equal(config, field):
  first = programs.build(config, 10)
  second = programs.build(changed(config, **{field: NUMBERS[field]}), 10)
  assert first == second
  assert hash(first) == hash(second)


@pytest.mark.parametrize('field', list(CHOICES))
def test_choices_change_the_program(config, field):
  other = changed(config, **{field: CHOICES[field]})
  assert programs.build(config, 10) != programs.build(other, 10)


def test_number_of_classes_changes_the_program(config):
  assert programs.build(config, 10) != programs.build(config, 11)


def test_equal_programs_compile_once(config):
  traces = []

  @functools.partial(jax.jit, static_argnames='program')
  def step(x, hyper, *, program):
    traces.append(program)
    return x * hyper.optimizer['momentum']

  results = []
  for momentum in (0.5, 0.25):
    own = changed(config, optimizer__momentum=momentum)
    hyper = programs.hyperparameters(own)
    results.append(
      float(step(jnp.ones(()), hyper, program=programs.build(own, 10)))
    )
  assert results == [0.5, 0.25]
  assert len(traces) == 1
  other = programs.build(changed(config, norm__name='rms'), 10)
  step(jnp.ones(()), hyper, program=other)
  assert len(traces) == 2


def test_program_has_what_the_config_says(config):
  config.data.random_crop = 2
  config.norm.momentum = 0.5
  config.optimizer.name = 'adam'
  built = programs.build(config, 7)
  assert built.optimizer == 'adam'
  assert built.augmentation == Augmentation(random_crop=2)
  assert built.model.num_classes == 7
  assert built.model.widths == (4,)
  assert built.model.norm().momentum == 0.5


def test_fields_that_are_none_are_left_to_the_owner(config):
  config.norm.name = 'batch'
  assert dict(programs.build(config, 10).model.norm.fields) == {}
  assert programs.set_fields(config.schedule) == {'warmup_steps': 0}


def test_set_fields_keep_false_and_zero(config):
  config.norm.use_bias = False
  config.norm.epsilon = 0.0
  fields = programs.set_fields(config.norm)
  assert fields == {'use_bias': False, 'epsilon': 0.0}


def test_hyperparameters_are_float32_with_the_peak_of_the_learning_rate(config):
  config.optimizer.clip_norm = 2.0
  config.optimizer.learning_rate = 0.5
  config.optimizer.learning_rate_multiplier = 3.0
  hyper = programs.hyperparameters(config)
  numbers = hyper.optimizer
  assert numbers == {
    'learning_rate': 1.5,
    'weight_decay': 0.0,
    'clip_norm': 2.0,
  }
  assert all(type(value) is np.float32 for value in numbers.values())
  assert hyper.ema_decay is None and hyper.label_smoothing is None
  assert hyper.model == hyper.norm == {}


def test_decay_of_the_average_is_a_number_of_the_step(config):
  config.ema_decay = 0.75
  decay = programs.hyperparameters(config).ema_decay
  assert decay == 0.75 and type(decay) is np.float32


def test_streamed_images_come_augmented(config):
  config.data.random_flip = True
  assert programs.build(config, 10).augmentation == Augmentation(0, True)
  config.data.name = 'imagenette'
  assert programs.build(config, 10).augmentation == Augmentation()


def test_learning_rates_have_the_multiplier_and_the_schedule(config):
  config.total_steps = 4
  config.optimizer.learning_rate = 0.1
  config.optimizer.learning_rate_multiplier = 5.0
  config.schedule.name = 'step'
  config.schedule.boundaries = (2,)
  rates = programs.learning_rates(config)
  np.testing.assert_allclose(rates.of(0, 4), [0.5, 0.5, 0.05, 0.05], rtol=1e-6)


@pytest.mark.parametrize(
  'field, value, text',
  [
    ('norm__name', 'bach', "unknown norm 'bach'; did you mean 'batch'"),
    ('norm__num_groups', 4, "norm 'batch': unknown field 'num_groups'"),
    ('model__name', 'mpl', "unknown model 'mpl'; did you mean 'mlp'"),
    ('model__width', 0.5, "model 'mlp': unknown field 'width'"),
    ('model__activation', 'rel', "unknown activation 'rel'"),
  ],
)
def test_unknown_names_and_fields_are_config_errors(config, field, value, text):
  with pytest.raises(errors.ConfigError, match=text):
    programs.build(changed(config, **{field: value}), 10)


def test_unknown_schedule_field_is_a_config_error(config):
  config.schedule.final_fraction = 0.5
  with pytest.raises(errors.ConfigError, match="'final_fraction'"):
    programs.learning_rates(config)
