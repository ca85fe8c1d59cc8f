import functools

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from traced_models import (
  PAIRS,
  SMALL,
  build,
  norm_factory,
  trace,
  traced,
)

from normlab import errors, models, norms
from normlab.models import blocks

SHAPES = [(8, 8, 1), (9, 7, 3), (32, 32, 3)]
# Convolutions and dense layers, the logits aside.
LAYERS = {
  'mlp': 2,
  'cnn': 2,
  'inception': 19,
  'resnet18': 20,
  'resnet50': 53,
  'bn_inception': 69,
}


def block_paths(seen):
  kinds = (blocks.ConvNormAct, blocks.DenseNormAct)
  return [
    path for path, kind in seen.classes.items() if issubclass(kind, kinds)
  ]


@pytest.fixture(scope='module')
def inception():
  """Shapes of the parameters at width 1, without a norm."""
  return trace(build('inception'), (32, 32, 3)).params


@pytest.mark.parametrize('image_shape', SHAPES)
@pytest.mark.parametrize('name', list(models.MODELS))
def test_logits_have_one_row_an_image(name, image_shape):
  logits = trace(build(name, **SMALL[name]), image_shape).logits
  assert logits.shape == (2, 10)
  assert logits.dtype == jnp.float32


def test_small_table_has_every_model():
  assert set(SMALL) == set(LAYERS) == set(models.MODELS)


def test_inception_has_the_channels_of_the_paper(inception):
  channels = {
    path.removesuffix('/conv/kernel'): shape
    for path, shape in inception.items()
    if path.endswith('/conv/kernel')
  }
  assert channels == {
    'stem': (3, 3, 3, 96),
    'stage1_module1_1x1': (1, 1, 96, 32),
    'stage1_module1_3x3': (3, 3, 96, 32),
    'stage1_module2_1x1': (1, 1, 64, 32),
    'stage1_module2_3x3': (3, 3, 64, 48),
    'stage1_downsample_3x3': (3, 3, 80, 80),
    # 80 channels of the convolution beside 80 of the pool.
    'stage2_module1_1x1': (1, 1, 160, 112),
    'stage2_module1_3x3': (3, 3, 160, 48),
    'stage2_module2_1x1': (1, 1, 160, 96),
    'stage2_module2_3x3': (3, 3, 160, 64),
    'stage2_module3_1x1': (1, 1, 160, 80),
    'stage2_module3_3x3': (3, 3, 160, 80),
    'stage2_module4_1x1': (1, 1, 160, 48),
    'stage2_module4_3x3': (3, 3, 160, 96),
    'stage2_downsample_3x3': (3, 3, 144, 96),
    # 96 beside 144.
    'stage3_module1_1x1': (1, 1, 240, 176),
    'stage3_module1_3x3': (3, 3, 240, 160),
    'stage3_module2_1x1': (1, 1, 336, 176),
    'stage3_module2_3x3': (3, 3, 336, 160),
  }
  assert inception['logits/kernel'] == (336, 10)


def test_inception_has_1649402_parameters(inception):
  # The number in table 1 of arXiv:1611.03530.
  assert sum(map(np.prod, inception.values())) == 1_649_402


def test_inception_halves_the_image_twice():
  seen = trace(build('inception', width=1 / 16), (28, 28, 1))
  sizes = {path: y.shape[1:3] for path, y in seen.outputs.items()}
  assert sizes['stem'] == sizes['stage1_module2_3x3'] == (28, 28)
  assert sizes['stage1_downsample_3x3'] == (14, 14)
  assert sizes['stage2_module4_1x1'] == (14, 14)
  assert sizes['stage2_downsample_3x3'] == sizes['stage3_module2_3x3'] == (7, 7)


def test_width_scales_every_convolution(inception):
  half = trace(build('inception', width=0.5), (32, 32, 3)).params
  for path, shape in inception.items():
    if path.endswith('conv/kernel'):
      assert half[path][-1] == shape[-1] / 2
  assert half['logits/kernel'] == (168, 10)


@pytest.mark.parametrize('name', ['inception', 'bn_inception', 'resnet18'])
def test_width_leaves_one_channel(name):
  tiny = trace(build(name, width=1e-6)).params
  convs = [s[-1] for path, s in tiny.items() if path.endswith('conv/kernel')]
  assert set(convs) == {1}


def test_widths_are_the_layers():
  assert trace(build('cnn', widths=(3, 5))).params == {
    'layer1/conv/kernel': (3, 3, 1, 3),
    'layer1/conv/bias': (3,),
    'layer2/conv/kernel': (3, 3, 3, 5),
    'layer2/conv/bias': (5,),
    'logits/kernel': (5, 10),
    'logits/bias': (10,),
  }
  assert trace(build('mlp', widths=(3, 5))).params == {
    'layer1/dense/kernel': (64, 3),
    'layer1/dense/bias': (3,),
    'layer2/dense/kernel': (3, 5),
    'layer2/dense/bias': (5,),
    'logits/kernel': (5, 10),
    'logits/bias': (10,),
  }


@pytest.mark.parametrize('name, norm', PAIRS)
def test_bias_stands_where_no_norm_replaces_it(name, norm):
  seen = traced(name, norm)
  acting = norm and norm_factory(norm).norm
  paths = block_paths(seen)
  assert len(paths) == LAYERS[name]
  for path in paths:
    layer = 'conv' if f'{path}/conv' in seen.modules else 'dense'
    replaced = f'{path}/norm' in seen.modules and acting.replaces_bias
    assert (f'{path}/{layer}/bias' in seen.params) == (not replaced)


def test_factory_without_the_attribute_brings_its_own_bias():
  assert not blocks.needs_bias(functools.partial(nn.BatchNorm))
  assert blocks.needs_bias(None)


class Constant(nn.Module):
  """A norm that forgets its input."""

  @nn.compact
  def __call__(self, x, use_running_average):
    return jnp.full_like(x, -2.0 if use_running_average else -3.0)


@pytest.mark.parametrize('train, expected', [(True, 3.0), (False, 2.0)])
@pytest.mark.parametrize(
  'block, shape',
  [(blocks.ConvNormAct, (1, 4, 4, 2)), (blocks.DenseNormAct, (1, 4))],
)
def test_norm_stands_between_layer_and_activation(
  block, shape, train, expected
):
  # An activation in front of the norm would leave a negative output; the layer
  # behind it, other values.
  layer = block(3, norm=Constant, activation=jnp.abs)
  y, _ = layer.init_with_output(jax.random.key(0), jnp.ones(shape), train=train)
  np.testing.assert_array_equal(y, jnp.full((*shape[:-1], 3), expected))


@pytest.mark.parametrize('name', list(models.MODELS))
def test_modules_are_named_alike_for_all_norms(name):
  paths = [
    {
      path
      for path in traced(name, norm).modules
      if 'norm' not in path.split('/')
    }
    for model, norm in PAIRS
    if model == name and norm not in norms.KERNEL_NORMS
  ]
  assert all(p == paths[0] for p in paths)
  layer = 'layer1' if name in ('mlp', 'cnn') else 'stem'
  kind = 'dense' if name == 'mlp' else 'conv'
  assert {f'{layer}/{kind}', 'logits'} <= paths[0]


@pytest.mark.parametrize('name', list(models.MODELS))
def test_every_layer_has_its_norm(name):
  seen = traced(name, 'batch')
  for path in block_paths(seen):
    assert seen.classes[f'{path}/norm'] is norms.BatchNorm


@pytest.mark.parametrize(
  'name, norm', [pair for pair in PAIRS if pair[1] in norms.KERNEL_NORMS]
)
def test_every_layer_in_front_of_a_norm_has_its_kernel_norm(name, norm):
  seen = traced(name, norm)
  for path in block_paths(seen):
    assert seen.classes[f'{path}/kernel_norm'] is norms.KERNEL_NORMS[norm]
    assert f'{path}/norm' not in seen.modules


def test_both_hooks_can_be_filled_at_once():
  hooks = norms.build(name='weight', mean_only_batch_norm=True)
  seen = trace(build('cnn', **hooks, **SMALL['cnn'])).classes
  assert seen['layer1/kernel_norm'] is norms.WeightNorm
  assert seen['layer1/norm'] is norms.MeanOnlyBatchNorm


@pytest.mark.parametrize('train', [True, False])
def test_a_kernel_norm_is_told_to_update_in_training_only(train):
  model = build('mlp', **norm_factory('spectral'), **SMALL['mlp'])
  x = np.ones((2, 8, 8, 1), np.float32)
  variables = model.init(jax.random.key(0), x, train=False)
  _, after = model.apply(variables, x, train=train, mutable=['batch_stats'])
  sigma = after['batch_stats']['layer1']['kernel_norm']['dense/kernel/sigma']
  assert (sigma != 1) == train


@pytest.mark.parametrize('name', list(models.MODELS))
def test_without_a_norm_there_is_no_norm_module(name):
  assert not [path for path in traced(name, None).modules if 'norm' in path]


@pytest.mark.parametrize('name', list(models.MODELS))
def test_dropout_is_in_front_of_the_logits(name):
  # What it does there is computed below, for three of the models.
  seen = trace(build(name, dropout=0.25, **SMALL[name]), train=True).modules
  assert list(seen)[-3:] == ['dropout', 'logits', '']
  assert seen['dropout'].rate == 0.25


@pytest.mark.parametrize('name', SMALL)
def test_dropout_draws_in_training_only(name):
  model = build(name, dropout=0.25, **SMALL[name])
  images = jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)

  init = functools.partial(model.init, train=False)
  variables = jax.eval_shape(init, jax.random.key(0), images)
  jax.eval_shape(functools.partial(model.apply, train=False), variables, images)
  with pytest.raises(flax.errors.InvalidRngError, match='dropout'):
    jax.eval_shape(
      functools.partial(model.apply, train=True), variables, images
    )


@pytest.mark.parametrize('name', SMALL)
def test_kernel_init_draws_every_kernel_but_that_of_the_logits(name):
  drawn = []

  def kernel_init(key, shape, dtype):
    drawn.append(shape)
    return jnp.zeros(shape, dtype)

  model = build(name, **SMALL[name]).clone(kernel_init=kernel_init)
  kernels = {
    path: shape
    for path, shape in trace(model).params.items()
    if path.endswith('kernel')
  }
  del kernels['logits/kernel']
  assert sorted(drawn) == sorted(kernels.values())


@pytest.mark.parametrize(
  'name, std',
  [
    ('he_normal', np.sqrt(2 / 200)),
    ('glorot_normal', np.sqrt(2 / 500)),
    ('glorot_uniform', np.sqrt(2 / 500)),
    ('small_normal', 0.1),
  ],
)
def test_kernels_have_the_deviation_of_their_formula(name, std):
  kernel_init = build('mlp', kernel_init=name).kernel_init
  kernel = kernel_init(jax.random.key(0), (200, 300), jnp.float32)
  # Of 60,000 draws the standard error is 0.3%.
  np.testing.assert_allclose(kernel.std(), std, rtol=0.02)
  assert abs(kernel.mean()) < 0.02 * std
  # Between the edges of a uniform distribution lies all of it.
  is_uniform = abs(kernel).max() <= np.sqrt(3) * std
  assert is_uniform == (name == 'glorot_uniform')


def test_kernels_are_he_normal_by_default():
  assert build('mlp').kernel_init is blocks.he_normal
  assert models.KERNEL_INITS['he_normal'] is blocks.he_normal


def test_plain_flax_norm_can_be_passed_in():
  norm = functools.partial(nn.BatchNorm, momentum=0.5)
  model = build('mlp', widths=(2,), norm=norm)

  @jax.jit
  def update(x):
    variables = model.init(jax.random.key(1), x, train=False)
    return model.apply(variables, x, train=True, mutable=['batch_stats'])[1]

  state = update(3 + jax.random.normal(jax.random.key(0), (4, 8, 8, 1)))
  # Half of the batch's: the running mean started at zero.
  assert (abs(state['batch_stats']['layer1']['norm']['mean']) > 1e-3).all()


def test_unknown_model_lists_the_known_ones():
  with pytest.raises(errors.ConfigError) as error:
    build('incepton')
  text = str(error.value)
  assert "unknown model 'incepton'; did you mean 'inception'?" in text
  assert 'known: mlp, cnn, inception, resnet18, resnet50, bn_inception' in text


def test_unknown_field_lists_those_of_the_model():
  with pytest.raises(errors.ConfigError) as error:
    build('mlp', width=2)
  text = str(error.value)
  assert "model 'mlp': unknown field 'width'" in text
  assert 'num_classes, norm, kernel_norm, activation, dropout, dtype' in text
  assert '(got width=2)' in text


@pytest.mark.parametrize(
  'name, expected',
  [
    ('relu', lambda x: np.maximum(x, 0)),
    ('sigmoid', lambda x: 1 / (1 + np.exp(-x))),
    ('tanh', np.tanh),
    # The approximation of Hendrycks & Gimpel (arXiv:1606.08415).
    (
      'gelu',
      lambda x: (
        x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
      ),
    ),
    ('silu', lambda x: x / (1 + np.exp(-x))),
    ('identity', lambda x: x),
  ],
)
def test_activation_is_its_closed_form(name, expected):
  x = np.linspace(-3, 3, 7)
  y = build('mlp', activation=name).activation(jnp.asarray(x, jnp.float32))
  np.testing.assert_allclose(y, expected(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', list(models.MODELS))
def test_models_are_equal_and_hashable_by_value(name):
  def make(**fields):
    return build(name, norm=norm_factory('batch'), **SMALL[name], **fields)

  assert make() == make()
  assert hash(make()) == hash(make())
  assert make() != make(dropout=0.1)
  assert make() != make(activation='tanh')
  assert make() != make(kernel_init='small_normal')
  assert make() != build(name, norm=norm_factory('rms'), **SMALL[name])


def test_lists_are_taken_as_tuples():
  as_list, as_tuple = build('cnn', widths=[2, 3]), build('cnn', widths=(2, 3))
  assert as_list == as_tuple
  assert hash(as_list) == hash(as_tuple)
