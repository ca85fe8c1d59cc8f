"""Whole configs with one field of a wrong type, or out of its range."""

import math

import numpy as np
import pytest
from config_cases import changed, problems

from normlab import errors

NAN, INF = math.nan, math.inf
WHOLE = 'must be a whole number of at least 1, in int32'
POSITIVE = 'must be a finite number above 0, in float32'
SHARE = 'must be a number from 0 up to, not including, 1, in float32'
LISTED = 'configs/base.py lists all'

# Fields, and a part of the line.
BAD = [
  # Types that ml_collections lets pass, or that a config from JSON has.
  ({'seed': True}, 'config.seed=True is not allowed: must be a whole'),
  ({'seed': 1.0}, 'config.seed=1.0 is not'),
  ({'seed': None}, 'config.seed=None: a value is needed'),
  ({'seed': 'one'}, "config.seed='one' is not allowed: must be a whole"),
  ({'seed': 2**32}, 'config.seed=4294967296 is not'),
  ({'seed': {'a': 1}}, 'config.seed is a section; must be a whole number'),
  ({'label': 3}, 'config.label=3 is not allowed: must be text, not empty'),
  ({'label': ''}, "config.label='' is not allowed: must be text, not empty"),
  ({'label': None}, 'config.label=None: a value is needed'),
  ({'batch_size': True}, f'config.batch_size=True is not allowed: {WHOLE}'),
  ({'batch_size': NAN}, f'config.batch_size=nan is not allowed: {WHOLE}'),
  ({'batch_size': 32.0}, f'config.batch_size=32.0 is not allowed: {WHOLE}'),
  ({'batch_size': 0}, f'config.batch_size=0 is not allowed: {WHOLE}'),
  ({'batch_size': [32]}, f'config.batch_size=[32] is not allowed: {WHOLE}'),
  (
    {'batch_size': 1_078},
    'config.batch_size=1078 is not allowed: the training ',
  ),
  (
    {'batch_size': 1_078},
    "'digits' has 1,077 examples; must be from 1 to 1077",
  ),
  ({'total_steps': -3}, f'config.total_steps=-3 is not allowed: {WHOLE}'),
  ({'total_steps': INF}, f'config.total_steps=inf is not allowed: {WHOLE}'),
  (
    {'total_steps': 10**5_000},
    f'config.total_steps=<int> is not allowed: {WHOLE}',
  ),
  ({'eval_every': 0}, f'config.eval_every=0 is not allowed: {WHOLE}'),
  ({'eval_every': None}, 'config.eval_every=None: a value is needed'),
  ({'eval_batch_size': 0}, f'config.eval_batch_size=0 is not allowed: {WHOLE}'),
  (
    {'eval_statistics': 'running'},
    "='running' is not allowed: must be some of",
  ),
  ({'eval_statistics': 'running'}, "none twice, as ('running',) or"),
  ({'eval_statistics': ()}, 'config.eval_statistics=() is not'),
  ({'eval_statistics': ['runing']}, "config.eval_statistics=['runing'] is not"),
  ({'eval_statistics': ('batch',) * 2}, "('batch', 'batch') is not"),
  ({'eval_statistics': None}, 'config.eval_statistics=None: a value is needed'),
  ({'recalibration_examples': 0}, f'_examples=0 is not allowed: {WHOLE}'),
  ({'ema_decay': 1.0}, f'config.ema_decay=1.0 is not allowed: {SHARE}'),
  ({'ema_decay': True}, f'config.ema_decay=True is not allowed: {SHARE}'),
  ({'ema_decay': 1 - 1e-12}, f'is not allowed: {SHARE}'),
  ({'log_every': False}, f'config.log_every=False is not allowed: {WHOLE}'),
  ({'steps_per_call': 0}, f'config.steps_per_call=0 is not allowed: {WHOLE}'),
  (
    {'checkpoint_every': 0},
    f'config.checkpoint_every=0 is not allowed: {WHOLE}',
  ),
  (
    {'keep_checkpoints': 0},
    f'config.keep_checkpoints=0 is not allowed: {WHOLE}',
  ),
  (
    {'keep_checkpoints': None},
    'config.keep_checkpoints=None: a value is needed',
  ),
  ({'num_devices': 0}, f'config.num_devices=0 is not allowed: {WHOLE}'),
  ({'num_devices': True}, f'config.num_devices=True is not allowed: {WHOLE}'),
  ({'microbatches': 2.5}, f'config.microbatches=2.5 is not allowed: {WHOLE}'),
  (
    {'log_layer_norms': 1},
    'config.log_layer_norms=1 is not allowed: must be Tr',
  ),
  (
    {'debug_nans': 'yes'},
    "config.debug_nans='yes' is not allowed: must be True",
  ),
  ({'profile': None}, 'config.profile=None: a value is needed'),
  ({'data.random_crop': -1}, 'must be a whole number of at least 0, in int32'),
  (
    {'data.random_flip': 0},
    'config.data.random_flip=0 is not allowed: must be ',
  ),
  ({'data.data_dir': 3}, 'config.data.data_dir=3 is not allowed: must be text'),
  ({'data.min_crop_area': 0.0}, 'must be a number above 0, up to 1'),
  ({'model.dropout': 1.0}, f'config.model.dropout=1.0 is not allowed: {SHARE}'),
  (
    {'model.dropout': False},
    f'config.model.dropout=False is not allowed: {SHARE}',
  ),
  ({'model.dtype': 'float16'}, "must be 'float32' or 'bfloat16'"),
  ({'model.dtype': np.float32}, "must be 'float32' or 'bfloat16'"),
  (
    {'model.widths': '12'},
    "config.model.widths='12' is not allowed: must be wh",
  ),
  ({'model.widths': (3, True)}, 'config.model.widths=(3, True) is not'),
  ({'model.widths': ((3,), 4)}, 'config.model.widths=((3,), 4) is not'),
  ({'model.widths': ()}, 'one a layer, as (32, 64)'),
  ({'model.widths': 32}, 'config.model.widths=32 is not'),
  (
    {'model.activation': None},
    'config.model.activation=None: a value is needed',
  ),
  ({'norm.name': None}, 'config.norm.name=None: a value is needed'),
  (
    {'norm.name': ('batch',)},
    "config.norm.name=('batch',) is not allowed: must",
  ),
  (
    {'norm.epsilon': NAN},
    'config.norm.epsilon=nan is not allowed: must be a fi',
  ),
  ({'norm.epsilon': '1e-3'}, "config.norm.epsilon='1e-3' is not"),
  (
    {'norm.momentum': True},
    'config.norm.momentum=True is not allowed: must be ',
  ),
  ({'norm.momentum': 1.5}, 'must be a number from 0 to 1'),
  (
    {'norm.use_scale': 'False'},
    "config.norm.use_scale='False' is not allowed: ",
  ),
  ({'norm.reduction_axes': (1, '2')}, 'must be whole numbers, as (1, 2, 3)'),
  ({'norm.reduction_axes': 3}, 'config.norm.reduction_axes=3 is not'),
  ({'norm.n_steps': 10**6}, 'must be a whole number from 1 to 100'),
  ({'optimizer.learning_rate': None}, 'learning_rate=None: a value is needed'),
  (
    {'optimizer.learning_rate': NAN},
    f'learning_rate=nan is not allowed: {POSITIVE}',
  ),
  (
    {'optimizer.learning_rate': -INF},
    f'learning_rate=-inf is not allowed: {POSITIVE}',
  ),
  (
    {'optimizer.learning_rate': True},
    f'learning_rate=True is not allowed: {POSITIVE}',
  ),
  (
    {'optimizer.learning_rate': 1e39},
    f'learning_rate=1e+39 is not allowed: {POSITIVE}',
  ),
  ({'optimizer.weight_decay': '0'}, "config.optimizer.weight_decay='0' is not"),
  ({'optimizer.clip_norm': 0.0}, f'clip_norm=0.0 is not allowed: {POSITIVE}'),
  (
    {'optimizer.momentum': 1.0},
    f'config.optimizer.momentum=1.0 is not allowed: {SHARE}',
  ),
  ({'schedule.warmup_steps': 1.5}, 'config.schedule.warmup_steps=1.5 is not'),
  (
    {'schedule.warmup_steps': False},
    'config.schedule.warmup_steps=False is not',
  ),
  ({'schedule.boundaries': (8, 4)}, 'must be rising whole numbers'),
  (
    {'schedule.boundaries': (True, 4)},
    'config.schedule.boundaries=(True, 4) is',
  ),
  ({'schedule.decay_rate': -0.5}, 'must be a number above 0, up to 1'),
  # Sections and fields that are not those of base.
  ({'norm': 3}, 'config.norm=3 is not allowed: must be a section, as in'),
  ({'data': None}, 'config.data=None is not allowed: must be a section, as in'),
  ({'model': 'cnn'}, "config.model='cnn' is not allowed: must be a section"),
  ({'momentum': 0.9}, "'momentum'; did you mean 'norm.momentum' or 'optimizer"),
  ({'batchsize': 3}, "'batchsize'; did you mean 'batch_size' or"),
  ({'norm.epsilom': 1}, "'norm.epsilom'; did you mean 'norm.epsilon' or"),
  (
    {'norm.axis_name': 'x'},
    "unknown config field 'norm.axis_name'; did you mean",
  ),
  (
    {'schedule.warm': {'a': 1}},
    "unknown config field 'schedule.warm'; did you",
  ),
]


def test_the_table_is_large():
  assert len(BAD) > 80


@pytest.mark.parametrize('fields, part', BAD, ids=errors.shown)
def test_a_bad_value_is_one_line(fields, part):
  (line,) = problems(changed(fields))
  assert part in line
