import functools

import jax
import jax.numpy as jnp
import pytest
from convolved import arrays, assert_equal, values_and_gradients
from flax import linen as nn
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from normlab.models import blocks
from normlab.models.ops import convolution
from normlab.models.ops.convolution import Forms, choose
from normlab.models.ops.convolution_forms import (
  DIMENSIONS,
  blocked,
  padded,
  patches,
  plain,
  taps,
)

SAME = ((1, 1), (1, 1))
NONE = ((0, 0), (0, 0))
# Chosen as patches.
SMALL = ((2, 4, 4, 3), (3, 3, 3, 2))


def convolve(x, kernel, strides, padding):
  return convolution.convolve(
    x, kernel, strides, padding, dimension_numbers=DIMENSIONS
  )


def lax_convolve(x, kernel, strides, padding):
  return lax.conv_general_dilated(
    x, kernel, strides, padding, dimension_numbers=DIMENSIONS
  )


BOTH = (lax_convolve, convolve)


@pytest.mark.parametrize(
  'shape, kernel_shape, strides, padding, forms',
  [
    ((4, 8, 8, 1), (3, 3, 1, 8), 1, SAME, (blocked, plain, plain)),
    ((4, 6, 6, 1), (3, 3, 1, 8), 1, SAME, (plain, plain, plain)),
    ((4, 8, 8, 16), (3, 3, 16, 5), 1, SAME, (blocked, padded, padded)),
    ((4, 8, 8, 26), (3, 3, 26, 16), 1, SAME, (padded, padded, padded)),
    ((4, 8, 8, 10), (3, 3, 10, 16), 2, SAME, (plain, plain, plain)),
    ((4, 4, 4, 64), (3, 3, 64, 16), 2, SAME, (patches, patches, patches)),
    ((4, 4, 4, 64), (3, 3, 64, 16), 1, SAME, (padded, padded, padded)),
    ((4, 4, 4, 128), (3, 3, 128, 8), 1, SAME, (patches, patches, patches)),
    ((64, 16, 16, 32), (3, 3, 32, 16), 1, SAME, (padded, padded, taps)),
    ((64, 16, 16, 24), (3, 3, 24, 16), 1, SAME, (padded, padded, padded)),
    ((4, 8, 8, 16), (1, 1, 16, 8), 1, NONE, (patches, patches, patches)),
    ((4, 8, 8, 16), (1, 1, 16, 5), 2, NONE, (plain, plain, patches)),
  ],
)
def test_forms_are_chosen_by_shape(
  shape, kernel_shape, strides, padding, forms
):
  chosen = choose(shape, kernel_shape, (strides, strides), padding)
  assert chosen == Forms(*forms)


@pytest.mark.parametrize(
  'shape, kernel_shape, strides, padding',
  [
    ((2, 8, 8, 3), (3, 3, 3, 16), 1, 'SAME'),
    ((2, 7, 8, 13), (3, 3, 13, 9), 2, 'VALID'),
    (*SMALL, 2, 'SAME'),
    ((2, 4, 4, 8), (1, 1, 8, 5), 2, NONE),
  ],
)
def test_the_chosen_forms_are_the_convolution(
  shape, kernel_shape, strides, padding
):
  inputs = *arrays(shape, kernel_shape), (strides, strides), padding
  assert_equal(values_and_gradients(BOTH, *inputs))


def test_value_and_gradients_have_their_own_forms(monkeypatch):
  x, kernel = arrays((2, 3, 4, 3), (3, 3, 3, 5))
  monkeypatch.setattr(
    convolution, 'choose', lambda *_: Forms(blocked, patches, taps)
  )
  assert_equal(values_and_gradients(BOTH, x, kernel, (1, 1), 'SAME'))


def test_forward_mode_is_that_of_the_convolution():
  primals, tangents = arrays(*SMALL), arrays(*SMALL, seed=1)

  @jax.jit
  def pushed():
    bound = [functools.partial(f, strides=(2, 2), padding=SAME) for f in BOTH]
    return [jax.jvp(f, primals, tangents) for f in bound]

  assert_equal(pushed())


def test_vmap_over_kernels_is_a_convolution_with_each():
  x, kernels = arrays(SMALL[0], (2, *SMALL[1]))
  step = jax.vmap(
    lambda kernel: values_and_gradients(BOTH, x, kernel, (2, 2), SAME)
  )
  assert_equal(step(kernels))


def test_images_without_gradient_cost_none():
  x, kernel = arrays((2, 8, 8, 3), (3, 3, 3, 4))
  gradient = jax.grad(lambda kernel: convolve(x, kernel, (1, 1), SAME).sum())
  # The value, and the gradient of the kernel.
  assert str(jax.make_jaxpr(gradient)(kernel)).count('conv_general') == 2


def test_a_gradient_is_exported_for_any_batch_size():
  x, kernel = arrays((3, 4, 4, 32), (3, 3, 32, 2))
  shape = jax.export.symbolic_shape('batch, 4, 4, 32')
  step = functools.partial(
    values_and_gradients, (convolve,), strides=(2, 2), padding=SAME
  )
  program = jax.export.export(jax.jit(step))(
    jax.ShapeDtypeStruct(shape, x.dtype), kernel
  )
  assert_equal([step(x, kernel), program.call(x, kernel)])


@pytest.mark.parametrize(
  'options',
  [
    {'feature_group_count': 2},
    {'rhs_dilation': (2, 2)},
    {'lhs_dilation': (2, 1)},
    {'precision': 'highest'},
    {'dimension_numbers': ('NWHC', 'HWIO', 'NHWC')},
  ],
)
def test_what_is_not_covered_is_left_to_xla(options):
  options = {'dimension_numbers': DIMENSIONS} | options
  groups = options.get('feature_group_count', 1)
  x, kernel = arrays((2, 5, 5, 4), (3, 3, 4 // groups, 2))
  assert not convolution.is_covered(x, kernel, **options)
  function = functools.partial(
    convolution.convolve, window_strides=(1, 1), padding=SAME, **options
  )
  assert 'custom_jvp' not in str(jax.make_jaxpr(function)(x, kernel))


def test_half_precision_and_other_devices_are_left_to_xla(monkeypatch):
  x, kernel = arrays(*SMALL)
  options = {'dimension_numbers': DIMENSIONS}
  half = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
  assert convolution.is_covered(x, kernel, **options)
  assert not convolution.is_covered(*half, **options)
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert not convolution.is_covered(x, kernel, **options)


@pytest.mark.parametrize(
  'size, strides',
  [(4, 2), (8, 2), (8, 1)],
  ids=['patches', 'padded', 'blocked'],
)
def test_a_sharded_batch_stays_sharded(size, strides):
  mesh = jax.make_mesh((8,), ('batch',), axis_types=(AxisType.Auto,))
  x, kernel = arrays((8, size, size, 16), (3, 3, 16, 5))
  x = jax.device_put(x, NamedSharding(mesh, PartitionSpec('batch')))
  kernel = jax.device_put(kernel, NamedSharding(mesh, PartitionSpec()))
  program = values_and_gradients.lower(
    (convolve,), x, kernel, (strides, strides), SAME
  ).compile()
  text = program.as_text()
  # The sum of the kernel's gradient over the devices.
  assert text.count(' all-reduce(') == 1
  assert 'all-gather' not in text and 'all-to-all' not in text


def test_a_layer_of_the_models_is_that_of_flax():
  x, kernel = arrays(*SMALL)
  params = {'kernel': kernel, 'bias': jnp.ones(2)}
  ours = blocks.ConvNormAct(2, strides=2, activation=lambda x: x)
  actual = ours.apply({'params': {'conv': params}}, x, train=True)
  expected = nn.Conv(2, (3, 3), (2, 2)).apply({'params': params}, x)
  assert_equal([expected, actual])
