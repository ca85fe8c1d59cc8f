import jax
import pytest
from flax import linen as nn

from normlab import models, norms
from normlab.probes import forward_order

IMAGE = 8, 8, 1


def layers(name, norm='batch', **fields):
  hooks = norms.build(name=norm) if norm else {}
  model = models.build(name, num_classes=3, **hooks, **fields)
  return forward_order.layers(model, IMAGE)


def names(found):
  return [layer.name for layer in found]


def test_layers_are_in_the_order_of_the_calls_and_not_of_the_alphabet():
  found = names(layers('mlp', widths=(2,) * 11))
  assert found == [*(f'layer{i}' for i in range(1, 12)), 'logits']


def test_a_layer_has_its_bias_and_the_norm_behind_it():
  first, second, last = layers('mlp', widths=(2, 3))
  assert first.kernel == 'layer1/dense/kernel'
  assert first.parameters == {
    'layer1/dense/kernel',
    'layer1/norm/scale',
    'layer1/norm/bias',
  }
  assert {p.split('/')[0] for p in second.parameters} == {'layer2'}
  assert last.parameters == {'logits/kernel', 'logits/bias'}


def test_the_norm_of_a_kernel_belongs_to_its_layer():
  for layer in layers('mlp', 'weight', widths=(2, 3))[:2]:
    kernel, scale = layer.kernel, f'{layer.name}/kernel_norm/dense/kernel/scale'
    assert {kernel, scale} <= layer.parameters


def test_parts_of_a_norm_belong_to_its_layer():
  first, *_ = layers('mlp', 'filter_response', widths=(2, 3))
  assert 'layer1/norm/tlu/threshold' in first.parameters


def test_branches_are_in_the_order_of_their_calls():
  found = names(layers('inception', width=1 / 16))
  assert found[:6] == [
    'stem',
    'stage1_module1_1x1',
    'stage1_module1_3x3',
    'stage1_module2_1x1',
    'stage1_module2_3x3',
    'stage1_downsample_3x3',
  ]
  assert found[-1] == 'logits'


def test_layers_of_a_residual_block_have_the_path_within_it():
  found = names(layers('resnet18', width=1 / 16, small_images=True))
  assert found[:3] == [
    'stem',
    'stage1_block1/layer1',
    'stage1_block1/layer2',
  ]
  block = ['layer1', 'layer2', 'projection']
  start = found.index('stage2_block1/layer1')
  assert found[start : start + 3] == [f'stage2_block1/{name}' for name in block]


class Shared(nn.Module):
  """A layer that is called twice, after a norm of the images."""

  @nn.compact
  def __call__(self, x, *, train):
    x = nn.LayerNorm(name='first')(x.reshape(len(x), -1))
    x = nn.Dense(4, name='z')(x)
    again = nn.Dense(4, name='a')
    return nn.Dense(3, name='m')(again(again(x)))


def test_a_layer_that_is_called_again_keeps_its_place():
  found = forward_order.layers(Shared(), IMAGE)
  assert names(found) == ['z', 'a', 'm']
  assert 'first/scale' in found[0].parameters


@pytest.mark.parametrize('norm', [None, *norms.NORMS])
def test_every_parameter_belongs_to_one_layer(norm):
  fields = {'num_groups': 1} if norm in ('group', 'evonorm_s0') else {}
  hooks = norms.build(name=norm, **fields) if norm else {}
  model = models.build('cnn', num_classes=3, widths=(2, 2), **hooks)
  found = forward_order.layers(model, IMAGE)
  paths = [path for layer in found for path in layer.parameters]
  x = jax.ShapeDtypeStruct((1, *IMAGE), 'float32')
  params = jax.eval_shape(
    lambda x: model.init(jax.random.key(0), x, train=False), x
  )['params']
  assert len(paths) == len(set(paths)) == len(jax.tree.leaves(params))
  assert len(found) == 3
