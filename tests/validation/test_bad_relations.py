"""Whole configs that cannot be trained, and what is said of them."""

import math

import numpy as np
import pytest
from config_cases import changed, problems

from normlab import errors

NAN = math.nan
POSITIVE = 'must be a finite number above 0, in float32'
DIVISOR = 'must be a divisor of'
LAYER = "norm 'layer' has no such field"
REGRESSION = {'data.name': 'valley/raw', 'model.name': 'mlp'}

# Fields, and a part of the line.
ONE = [
  # Single values; `test_fields` has every rule.
  ({'seed': True}, 'config.seed=True is not allowed: must be a whole number'),
  ({'seed': 2**32}, 'seed=4294967296 is not allowed: must be a whole number'),
  ({'seed': {'a': 1}}, 'config.seed is a section; must be a whole number'),
  ({'label': ''}, "config.label='' is not allowed: must be text, not empty"),
  ({'eval_every': None}, 'config.eval_every=None: a value is needed'),
  ({'total_steps': 10**5_000}, 'config.total_steps=<int> is not allowed: must'),
  ({'eval_statistics': 'running'}, "none twice, as ('running',) or"),
  ({'model.dropout': 1.0}, 'must be a number from 0 up to, not including, 1'),
  ({'model.dtype': np.float32}, "must be 'float32' or 'bfloat16'"),
  ({'model.widths': ((3,), 4)}, 'config.model.widths=((3,), 4) is not'),
  ({'norm.n_steps': 10**6}, 'must be a whole number from 1 to 100'),
  (
    {'optimizer.learning_rate': NAN},
    f'learning_rate=nan is not allowed: {POSITIVE}',
  ),
  ({'schedule.boundaries': (8, 4)}, 'must be rising whole numbers'),
  (
    {'batch_size': 1_078},
    "the training split of 'digits' has 1,077 examples; must be from 1 to 1077",
  ),
  # Regressions have neither images nor classes.
  (
    REGRESSION | {'data.random_crop': 1},
    "config.data.random_crop=1 is not allowed: 'valley/raw' has no images; "
    'must be 0',
  ),
  (REGRESSION | {'data.random_flip': True}, 'has no images; must be False'),
  (
    REGRESSION | {'label_smoothing': 0.1},
    "config.label_smoothing=0.1 is not allowed: 'valley/raw' is a regression; "
    'must be None',
  ),
  # Layers of the model.
  (
    {
      'model.name': 'mlp',
      'probes.names': ('covariate_shift',),
      'probes.layers': ('layer2', 'layer4'),
    },
    "config.probes.layers: unknown layer 'layer4'; did you mean 'layer1'? "
    'known: layer1, layer2, layer3, logits',
  ),
  # Names, and fields that their owner lacks.
  (
    {'norm.name': 'bach'},
    "config.norm.name: unknown norm 'bach'; did you mean 'batch'?",
  ),
  (
    {'model.name': 'cn'},
    "config.model.name: unknown model 'cn'; did you mean 'cnn'?",
  ),
  (
    {'model.activation': 'rlu'},
    "config.model.activation: unknown activation 'rlu'",
  ),
  (
    {'model.kernel_init': 'he_norm'},
    "config.model.kernel_init: unknown kernel_init 'he_norm'; did you mean "
    "'he_normal'?",
  ),
  ({'optimizer.name': 'adm'}, "config.optimizer.name: unknown optimizer 'adm'"),
  ({'schedule.name': 'cos'}, "config.schedule.name: unknown schedule 'cos'"),
  ({'data.name': 'digit'}, "config.data.name: unknown data set 'digit'"),
  ({'norm.name': 'x' * 500, 'norm.p': 2.0}, "unknown norm 'xxx"),
  (
    {'norm.name': 'layer', 'norm.momentum': 0.9},
    'config.norm.momentum=0.9 is not allowed: '
    "norm 'layer' has no such field; of those of config.norm it has: epsilon, ",
  ),
  ({'norm.name': 'none', 'norm.epsilon': 0.1}, 'config.norm it has: none'),
  (
    {'model.width': 0.5},
    "config.model.width=0.5 is not allowed: model 'cnn' has no such",
  ),
  ({'schedule.decay_rate': 0.5}, "schedule 'constant' has no such field"),
  (
    {'schedule.name': 'exponential'},
    "config.schedule: schedule 'exponential' needs decay_rate",
  ),
  # Steps.
  (
    {'schedule.warmup_steps': 1_001},
    'config.schedule.warmup_steps=1001 is not allowed: must be '
    'from 0 to 1000, config.total_steps',
  ),
  (
    {'schedule.name': 'step', 'schedule.boundaries': (10, 1_000)},
    'config.schedule.boundaries=(10, 1000) is not '
    'allowed: must be below 1000, the steps of the run after its warm-up',
  ),
  (
    {'checkpoint_every': 1_001},
    'config.checkpoint_every=1001 is not allowed: must be from 1 to 1000, '
    'config.total_steps, or None',
  ),
  (
    {
      'optimizer.learning_rate': 1e30,
      'optimizer.learning_rate_multiplier': 1e30,
    },
    'config.optimizer.learning_rate=1e+30 '
    f'times config.optimizer.learning_rate_multiplier=1e+30 is not allowed: '
    f'{POSITIVE}',
  ),
  # Batches and devices: there are eight.
  (
    {'microbatches': 5},
    f'config.microbatches=5 is not allowed: {DIVISOR} the 32 examples of',
  ),
  (
    {'num_devices': 9},
    'config.num_devices=9 is not allowed: must be from 1 to 8',
  ),
  (
    {'num_devices': 3},
    f'config.num_devices=3 is not allowed: {DIVISOR} the 32 examples of',
  ),
  (
    {'num_devices': 4, 'microbatches': 16},
    f'{DIVISOR} the 2 examples of config.batch_size=32 / config.microbatch',
  ),
  (
    {'norm.ghost_batch_size': 5},
    f'config.norm.ghost_batch_size=5 is not allowed: {DIVISOR} the 32 examples',
  ),
  (
    {'norm.ghost_batch_size': 8, 'num_devices': 8},
    f'{DIVISOR} the 4 examples of config.batch_size=32 / config.num_devices=8',
  ),
  (
    {'norm.ghost_batch_size': 8, 'num_devices': 2, 'microbatches': 4},
    'the 4 examples of config.batch_size=32 / config.microbatches=4 / '
    'config.num_devices=2',
  ),
  # Statistics.
  (
    {'norm.name': 'layer', 'eval_statistics': ('batch',)},
    "config.eval_statistics=('batch',) is not allowed: norm 'layer' keeps no "
    "running statistics; must be ('running',)",
  ),
  (
    {'norm.name': 'spectral', 'eval_statistics': ('batch',)},
    "norm 'spectral' keeps no running",
  ),
  (
    {'eval_statistics': ('recalibrated',), 'recalibration_examples': 1_078},
    'config.recalibration_examples=1078 is not allowed: the '
    "training split of 'digits' has 1,077 examples; must be from 1 to 1077",
  ),
  # The data set.
  (
    {'data.random_crop': 9},
    "config.data.random_crop=9 is not allowed: the images of 'digits' are 8 "
    'pixels wide; must be from 0 to 8',
  ),
  (
    {'data.image_size': 224},
    "config.data.image_size=224 is not allowed: data set 'digits' is not "
    'streamed; must be None',
  ),
  (
    {'data.min_crop_area': 0.5},
    'config.data.min_crop_area=0.5 is not allowed: data set',
  ),
  ({'data.workers': 0}, 'config.data.workers=0 is not allowed: data set'),
  (
    {'data.name': 'mnist', 'data.data_dir': '/nowhere'},
    "'mnist' is not prepared in data_dir '/nowhere'",
  ),
  (
    {'data.name': 'mnist', 'data.data_dir': 'a\0b'},
    "config.data.data_dir: data set 'mnist'",
  ),
  (
    {'data.name': 'mnist', 'data.data_dir': '~nobody-here/x'},
    "config.data.data_dir: data set 'mnist'",
  ),
  (
    {'data.name': 'mnist', 'data.data_dir': '/x' * 5_000},
    "config.data.data_dir: data set 'mnist'",
  ),
  # Shapes, of the parts themselves.
  (
    {'norm.name': 'group', 'norm.num_groups': 5},
    "config.model.name='cnn' with config.norm.name='group': GroupNorm: "
    'num_groups=5 does not divide the 32',
  ),
  (
    {'norm.name': 'group', 'norm.num_groups': 4, 'norm.group_size': 8},
    'set one of them',
  ),
  (
    {'norm.name': 'group', 'model.widths': (16, 48)},
    'num_groups=32 does not divide the 16 channels',
  ),
  ({'norm.name': 'layer', 'norm.reduction_axes': (7,)}, 'reduction_axes=7'),
  (
    {'norm.name': 'lp_batch', 'norm.convention': 'l2'},
    "config.norm.name='lp_batch': LpBatchNorm: convention='l2' must be one of",
  ),
  (
    {'norm.name': 'weight', 'norm.momentum': 0.9},
    "norm 'weight': momentum=0.9 is a field of the norm that mean_only_batch_n",
  ),
]

# Fields, and a part of each line.
SEVERAL = [
  (
    {
      'batch_size': 0,
      'checkpoint_every': 2_000,
      'norm.name': 'bach',
      'schedule.warmup_steps': 2_000,
    },
    ['batch_size=0', 'checkpoint_every=2000', "'bach'", 'warmup_steps=2000'],
  ),
  # In the order of base, not of the alphabet nor of the checks.
  (
    {
      'schedule.name': 'cos',
      'norm.name': 'bach',
      'model.name': 'cn',
      'data.name': 'digit',
      'model.activation': 'rel',
      'optimizer.name': 'adm',
      'label': '',
    },
    ['label', "'digit'", "'cn'", "'rel'", "'bach'", "'adm'", "'cos'"],
  ),
  # Every field that an owner lacks.
  (
    {'norm.name': 'layer', 'norm.momentum': 0.9, 'norm.debias': True},
    [f'momentum=0.9 is not allowed: {LAYER}', 'debias=True is not allow'],
  ),
  # What depends on a bad field is not asked.
  ({'norm.name': 'bach', 'norm.p': 3.0, 'norm.d_max': 1.0}, ["'bach'"]),
  ({'total_steps': 0, 'schedule.warmup_steps': 5}, ['total_steps=0']),
  ({'batch_size': None, 'norm.ghost_batch_size': 5}, ['batch_size=None']),
  ({'microbatches': 5, 'num_devices': 3}, ['microbatches=5']),
  ({'norm': 3, 'eval_statistics': ('batch',)}, ['config.norm=3']),
  ({'model.widths': (16.0,), 'norm.name': 'group'}, ['model.widths=(16.0,)']),
  # What does not depend on it is.
  (
    {'batch_size': 4_096, 'norm.name': 'group', 'norm.num_groups': 5},
    ['batch_size=4096', 'num_groups=5'],
  ),
  (
    {'data.name': 'mnist', 'data.data_dir': '/nowhere', 'data.workers': 3},
    ["'mnist' is not prepared", 'workers=3'],
  ),
  (
    {'schedule.name': 'exponential', 'schedule.warmup_steps': -1},
    ['needs decay_rate', 'warmup_steps=-1'],
  ),
  (
    {'total_steps': 10, 'checkpoint_every': 11, 'schedule.warmup_steps': 12},
    ['checkpoint_every=11', 'warmup_steps=12'],
  ),
  (
    {
      'schedule.name': 'step',
      'schedule.boundaries': (4_000,),
      'schedule.warmup_steps': 3_000,
    },
    ['warmup_steps=3000'],
  ),
  ({'foo': 1, 'norm.bar': 2, 'seed': -1}, ['seed=-1', "'foo'", "'norm.bar'"]),
  (
    {'optimizer': 1, 'schedule': 2, 'seed': NAN, 'norm.p': 0.5},
    ['seed=nan', 'norm.p=0.5', 'optimizer=1', 'schedule=2'],
  ),
]


@pytest.mark.parametrize('fields, part', ONE, ids=errors.shown)
def test_one_problem_is_one_line(fields, part):
  (line,) = problems(changed(fields))
  assert part in line


@pytest.mark.parametrize('fields, parts', SEVERAL, ids=errors.shown)
def test_all_problems_are_said_at_once_in_order(fields, parts):
  lines = problems(changed(fields))
  assert len(lines) == len(parts), lines
  for line, part in zip(lines, parts, strict=True):
    assert part in line
