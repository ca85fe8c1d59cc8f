import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from traced_models import SMALL, build, norm_factory, trace, traced

from normlab import models, norms
from normlab.models import resnet


@pytest.mark.parametrize(
  'name, number', [('resnet18', 11_689_512), ('resnet50', 25_557_032)]
)
def test_number_of_parameters_is_the_known_one(name, number):
  # Of torchvision's networks, which are those that others compare with.
  model = models.build(name, num_classes=1000, norm=norm_factory('batch'))
  assert trace(model, (224, 224, 3)).num_params == number


def sizes(**fields):
  seen = trace(build('resnet18', width=1 / 64, **fields), (64, 64, 3))
  return [
    y.shape[1] for path, y in seen.outputs.items() if path.endswith('_block2')
  ]


def test_stages_halve_the_image():
  assert sizes(small_images=False) == [16, 8, 4, 2]
  assert sizes(small_images=True) == [64, 32, 16, 8]


def test_a_bottleneck_has_its_strides_in_the_3x3_convolution():
  assert resnet.bottleneck(64, 2) == ((64, 1, 1), (64, 3, 2), (256, 1, 1))


@pytest.mark.parametrize('name', ['resnet18', 'resnet50'])
def test_a_projection_stands_where_shapes_differ(name):
  projected = {
    path.split('/')[0]
    for path in traced(name, None).modules
    if path.endswith('projection')
  }
  first = {'stage1_block1'} if name == 'resnet50' else set()
  assert projected == first | {f'stage{i}_block1' for i in (2, 3, 4)}


def test_a_norm_that_is_the_activation_stands_where_that_is():
  seen = traced('resnet18', 'filter_response')
  normed = [
    path.removesuffix('/norm')
    for path in seen.modules
    if path.endswith('/norm')
  ]
  assert 'stem' in normed
  assert {path.split('/')[-1] for path in normed} == {'stem', 'layer1'}
  linear = norms.build('filter_response', use_tlu=False)
  everywhere = trace(build('resnet18', norm=linear, **SMALL['resnet18']))
  normed = [path for path in everywhere.modules if path.endswith('/norm')]
  assert len(normed) == 20


class Negative:
  """A layer that returns -2 of the shape it should."""

  def __init__(self, channels, size, strides, *, name):
    del size, name
    self.channels, self.strides = channels, strides

  def __call__(self, x, *, train):
    del train
    size = -(-x.shape[1] // self.strides)
    return jnp.full((x.shape[0], size, size, self.channels), -2.0)


@pytest.mark.parametrize('channels, y', [(3, -5.0), (4, -6.0)])
def test_the_activation_is_behind_the_sum(channels, y):
  layers = resnet.basic(channels, 1)
  block = resnet.ResidualBlock(layers, Negative, Negative, lambda x: x + x / 2)
  # -2 - 4 / 3 without a projection, and -2 - 2 with one.
  x = jnp.full((1, 2, 2, 3), -4 / 3)
  np.testing.assert_allclose(block.apply({}, x, train=True), y, rtol=1e-6)


def randomized(model, x):
  """Variables that are all different; kernels keep the variance."""
  generator = np.random.default_rng(0)

  def leaf(path, array):
    name = path[-1].key
    if name in ('scale', 'var'):
      return generator.uniform(0.5, 1.5, array.shape).astype(np.float32)
    std = np.prod(array.shape[:-1]) ** -0.5 if name == 'kernel' else 0.1
    return generator.normal(0, std, array.shape).astype(np.float32)

  init = functools.partial(model.init, train=False)
  shapes = jax.eval_shape(init, jax.random.key(0), x)
  return jax.tree_util.tree_map_with_path(leaf, shapes)


class TorchResNet:
  """The same networks in PyTorch, in inference, as functions of the variables.

  Written from the paper and the padding of PyTorch's own.
  """

  def __init__(self, torch, variables):
    self.torch, self.functional = torch, torch.nn.functional
    self.variables = jax.tree.map(torch.tensor, variables)

  def conv(self, path, x, strides):
    """Convolution and norm; path is 'stem', or a block and a layer."""
    params, stats = self.variables['params'], self.variables['batch_stats']
    for name in path.split('/'):
      params, stats = params[name], stats[name]
    kernel = params['conv']['kernel'].permute(3, 2, 0, 1)
    x = self.functional.conv2d(
      x, kernel, stride=strides, padding=kernel.shape[-1] // 2
    )
    return self.functional.batch_norm(
      x,
      stats['norm']['mean'],
      stats['norm']['var'],
      params['norm']['scale'],
      params['norm']['bias'],
      eps=1e-5,
    )

  def block(self, name, x, strides):
    """Strides are in the 3x3 convolution, the first of them or the only one."""
    params, y = self.variables['params'][name], x
    layers = sorted(params.keys() - {'projection'})
    strided = layers[len(layers) - 2]
    for layer in layers:
      y = self.conv(f'{name}/{layer}', y, strides if layer == strided else 1)
      y = y if layer == layers[-1] else y.relu()
    if 'projection' in params:
      x = self.conv(f'{name}/projection', x, strides)
    return (x + y).relu()

  def __call__(self, images, depths, small_images):
    x = self.torch.tensor(images).permute(0, 3, 1, 2)
    x = self.conv('stem', x, 1 if small_images else 2).relu()
    if not small_images:
      x = self.functional.max_pool2d(x, 3, stride=2, padding=1)
    for stage, depth in enumerate(depths, start=1):
      for block in range(1, depth + 1):
        strides = 2 if stage > 1 and block == 1 else 1
        x = self.block(f'stage{stage}_block{block}', x, strides)
    logits = self.variables['params']['logits']
    return x.mean((2, 3)) @ logits['kernel'] + logits['bias']


@pytest.mark.parametrize(
  'name, depths, small_images',
  [('resnet18', (2, 2, 2, 2), True), ('resnet50', (3, 4, 6, 3), False)],
)
def test_logits_are_those_of_pytorch(name, depths, small_images):
  torch = pytest.importorskip('torch')
  norm = norms.build('batch', epsilon=1e-5)
  model = build(name, width=1 / 16, small_images=small_images, norm=norm)
  # Even and odd: for even sizes 'SAME' would pad otherwise.
  shape = (2, 12, 9, 3) if small_images else (2, 52, 39, 3)
  x = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
  variables = randomized(model, x)
  y = jax.jit(functools.partial(model.apply, train=False))(variables, x)
  with torch.no_grad():
    desired = TorchResNet(torch, variables)(x, depths, small_images)
  tolerance = 1e-4 * desired.abs().max()
  np.testing.assert_allclose(y, desired, rtol=0, atol=tolerance)
