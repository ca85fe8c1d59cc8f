import pytest
from traced_models import build, norm_factory, trace

from normlab import models
from normlab.models.ops import pools

# Figure 5 of the paper: height and channels of each output as printed.
PRINTED = {
  'stem': (112, 64),
  'conv2': (56, 192),
  'module3a': (28, 256),
  'module3b': (28, 320),
  'module3c': (14, 576),
  'module4a': (14, 576),
  'module4b': (14, 576),
  'module4c': (14, 576),
  'module4d': (14, 576),
  'module4e': (7, 1024),
  'module5a': (7, 1024),
  'module5b': (7, 1024),
}


@pytest.fixture(scope='module')
def seen():
  """The network of the paper: nothing of it is computed."""
  model = models.build(
    'bn_inception', num_classes=1000, norm=norm_factory('batch')
  )
  return trace(model, (224, 224, 3))


def test_has_11188288_parameters(seen):
  # 13.6 million in the paper, to which no reading of its table comes.
  assert seen.num_params == 11_188_288


def branches(seen, name):
  """Height and channels of the last layer of each branch of a module."""
  ends = {}
  for path, y in seen.outputs.items():
    if path.startswith(name) and '/' not in path:
      ends[path.split('_layer')[0]] = y.shape[2:]
  return list(ends.values())


@pytest.mark.parametrize('name', PRINTED)
def test_outputs_have_the_printed_sizes(seen, name):
  height, channels = PRINTED[name]
  if name == 'stem':
    assert seen.outputs['stem'].shape[1:] == (height, height, channels)
    return
  ends = branches(seen, name)
  assert {size for size, _ in ends} == {height}
  passed = 0
  if name in ('module3c', 'module4e'):
    names = list(PRINTED)
    passed = PRINTED[names[names.index(name) - 1]][1]
  assert sum(features for _, features in ends) + passed == channels


def test_kernels_are_those_of_the_row(seen):
  kernels = {
    path.removeprefix('module4d_').removesuffix('/conv/kernel'): shape
    for path, shape in seen.params.items()
    if path.startswith('module4d') and path.endswith('conv/kernel')
  }
  assert kernels == {
    '1x1_layer1': (1, 1, 576, 96),
    '3x3_layer1': (1, 1, 576, 128),
    '3x3_layer2': (3, 3, 128, 192),
    'double3x3_layer1': (1, 1, 576, 160),
    'double3x3_layer2': (3, 3, 160, 192),
    'double3x3_layer3': (3, 3, 192, 192),
    'pool': (1, 1, 576, 96),
  }


def test_the_stem_is_separable_with_eight_channels_for_each_of_the_image(seen):
  assert seen.params['stem_depthwise/kernel'] == (7, 7, 1, 24)
  assert seen.params['stem/conv/kernel'] == (1, 1, 24, 64)
  assert 'stem_depthwise/bias' not in seen.params


def test_an_image_of_one_pixel_is_taken():
  model = build('bn_inception', width=1 / 64)
  assert trace(model, (1, 1, 1)).logits.shape == (2, 10)


def test_pools_are_those_of_the_table(monkeypatch):
  found = []
  for name in ('mean_pool', 'max_pool'):
    pool = getattr(pools, name)

    def record(x, name=name, pool=pool, **fields):
      found.append((name, x.shape[1]))
      return pool(x, **fields)

    monkeypatch.setattr(pools, name, record)
  trace(build('bn_inception', width=1 / 64), (64, 64, 1))
  assert found == [
    ('max_pool', 32),
    ('max_pool', 16),
    *[('mean_pool', 8)] * 2,
    ('max_pool', 8),
    *[('mean_pool', 4)] * 4,
    ('max_pool', 4),
    ('mean_pool', 2),
    ('max_pool', 2),
  ]
