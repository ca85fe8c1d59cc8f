"""The check of a whole config: what passes, what is no config, side effects."""

import math
import pickle

import ml_collections
import numpy as np
import pytest
from config_cases import changed, problems

from configs import base
from normlab import data, errors, records, validation

INF = math.inf

GOOD = [
  {},
  {'model.name': 'mlp', 'model.widths': (4, 4), 'norm.name': 'layer'},
  {'model.name': 'inception', 'model.width': 1 / 16, 'norm.name': 'none'},
  {'norm.name': 'group', 'norm.group_size': 8},
  {'norm.name': 'batch_renorm', 'norm.r_max': 2.0, 'norm.d_max': 1.0},
  {'norm.name': 'rms', 'norm.reduction_axes': (1, 2, 3)},
  {'norm.name': 'lp_batch', 'norm.p': INF},
  {'norm.name': 'weight', 'norm.mean_only_batch_norm': True},
  {'norm.ghost_batch_size': 8, 'norm.debias': True, 'norm.unbiased': True},
  {'norm.ghost_batch_size': 4, 'num_devices': 2, 'microbatches': 4},
  {'norm.name': 'noisy_batch', 'norm.max_std': 2.0},
  {'norm.name': 'instance', 'data.random_crop': 8, 'data.random_flip': True},
  {'optimizer.name': 'adamw', 'optimizer.beta1': 0.8, 'batch_size': 1_077},
  {'schedule.name': 'step', 'schedule.boundaries': (400, 999)},
  {'schedule.name': 'cosine', 'schedule.warmup_steps': 1_000},
  {'total_steps': 12, 'checkpoint_every': 12, 'eval_every': 100},
  {'total_steps': 2},
  {'eval_statistics': ('batch', 'recalibrated'), 'ema_decay': 0.99},
  {'norm.name': 'layer', 'recalibration_examples': 5_000},
  {'num_devices': 8, 'microbatches': 2, 'model.dtype': 'bfloat16'},
  {'batch_size': np.int64(16), 'optimizer.learning_rate': np.float32(0.1)},
  {'model.widths': [np.int32(4), 4], 'optimizer.learning_rate': 1},
]


@pytest.mark.parametrize('fields', GOOD, ids=errors.shown)
def test_good_config_passes(fields):
  assert isinstance(validation.check(changed(fields)), validation.CheckedConfig)


def test_a_config_that_is_no_config_is_refused():
  with pytest.raises(
    errors.ConfigError, match='is a dict; must be a ConfigDict'
  ):
    validation.check({})


def test_a_config_that_does_not_start_from_base_is_refused():
  assert problems(ml_collections.ConfigDict({'seed': 1})) == [
    "the config lacks 'data', 'model', 'norm' and 23 more; it must start from "
    'configs/base.py'
  ]


def test_a_config_from_json_passes():
  stored = records.resolved(base.get_config())
  for kind in (ml_collections.ConfigDict, ml_collections.FrozenConfigDict):
    assert records.resolved(validation.check(kind(stored))) == stored


def test_a_checked_config_is_not_checked_again():
  checked = validation.check(base.get_config())
  assert validation.check(checked) is checked
  with pytest.raises(AttributeError, match='immutable'):
    checked.seed = -1
  other = checked.but(label='other', num_devices=1)
  assert (other.label, other.num_devices, other.seed) == ('other', 1, 0)
  assert validation.check(other) is other
  assert type(pickle.loads(pickle.dumps(checked))) is validation.CheckedConfig


def test_fields_are_checked_without_the_data_set():
  absent = {'data.name': 'mnist', 'data.data_dir': '/nowhere'}
  validation.check_complete(changed(absent))
  with pytest.raises(errors.ConfigError) as error:
    validation.check_complete(changed({**absent, 'seed': -1}))
  assert [line.split('=')[0] for line in error.value.problems] == [
    'config.seed',
    "config.data.data_dir: data set 'mnist' is not prepared in data_dir "
    "'/nowhere'; prepare it once: python scripts/prepare_data.py mnist "
    '--data_dir',
  ]
  with pytest.raises(errors.ConfigError, match='must be a ConfigDict'):
    validation.check_complete({})


@pytest.fixture
def photographs(monkeypatch):
  """A streamed set, of which only the description is there."""

  def describe(name, data_dir=None, image_size=None):
    shape = (image_size or 224,) * 2 + (3,)
    return data.Description({'train': 40}, shape, 10)

  monkeypatch.setattr(data, 'describe', describe)
  return {'data.name': 'imagenette', 'data.image_size': 16}


def test_a_streamed_set_has_the_fields_of_its_images(photographs):
  own = {'data.min_crop_area': 0.5, 'data.workers': 0}
  validation.check(changed(photographs | own))


@pytest.mark.parametrize(
  'fields, line',
  [
    (
      {'data.random_crop': 4},
      "config.data.random_crop=4 is not allowed: data set 'imagenette' is "
      'streamed, see config.data.min_crop_area; must be 0',
    ),
    (
      {'batch_size': 64},
      "config.batch_size=64 is not allowed: the training split of 'imagenette' "
      'has 40 examples; must be from 1 to 40',
    ),
    (
      {'data.image_size': 0},
      'config.data.image_size=0 is not allowed: must be a whole number of at '
      'least 1, in int32',
    ),
  ],
  ids=errors.shown,
)
def test_a_streamed_set_has_its_own_limits(photographs, fields, line):
  assert problems(changed(photographs | fields)) == [line]


def test_nothing_is_written_or_changed(tmp_path, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  config = base.get_config()
  before = records.resolved(config)
  validation.check(config)
  assert records.resolved(config) == before
  assert list(tmp_path.iterdir()) == []
