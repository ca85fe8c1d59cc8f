import hypothesis
import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from hypothesis import strategies as st

from normlab.norms import BatchNorm, GroupNorm, InstanceNorm, LayerNorm

SHAPE = (2, 3, 2, 6)


def grouped(x, groups, mask=None):
  """Standardized over space and contiguous groups of channels, in float64."""
  shape = (*x.shape[:-1], groups, x.shape[-1] // groups)
  if mask is not None:
    mask = np.broadcast_to(mask, x.shape).reshape(shape)
  axes = [*range(1, x.ndim - 1), x.ndim]
  x_hat = reference.standardized(
    x.reshape(shape), axes, epsilon=1e-6, mask=mask
  )
  return x_hat.reshape(x.shape)


@pytest.mark.parametrize(
  'fields, groups',
  [
    ({'num_groups': 1}, 1),
    ({'num_groups': 2}, 2),
    ({'num_groups': 6}, 6),
    ({'num_groups': None, 'group_size': 2}, 3),
    ({'group_size': 3}, 2),  # Beside the default num_groups.
  ],
)
def test_equals_the_float64_reference(fields, groups):
  layer = GroupNorm(**fields)
  x = reference.normal(SHAPE, mean=3, std=2)
  variables = reference.randomized(layer, x)
  params = variables['params']
  y, _ = reference.train(layer, variables, x)
  np.testing.assert_allclose(
    y,
    grouped(x, groups) * params['scale'] + params['bias'],
    rtol=1e-4,
    atol=1e-5,
  )


@pytest.mark.parametrize(
  'shape', [SHAPE, (2, 3, 2, 1), (2, 1, 1, 1), (3, 2, 6), (1, 1, 1, 6), (6,)]
)
def test_a_mask_broadcasts_and_leaves_values_out(shape):
  # flax reshapes the mask, and so accepts only one with all channels.
  layer = GroupNorm(num_groups=2, use_scale=False, use_bias=False)
  x = reference.normal(SHAPE, mean=3)
  mask = reference.normal(shape, seed=1) > -0.5
  desired = grouped(x, 2, mask)
  y, _ = reference.train(layer, {}, x, mask=mask)
  np.testing.assert_allclose(y, desired, rtol=1e-4, atol=1e-5)


def pairs():
  whole = LayerNorm(reduction_axes=(1, 2, 3))
  yield 'one group', GroupNorm(1), whole, SHAPE
  yield 'a group per channel', GroupNorm(6), InstanceNorm(), SHAPE
  yield 'channels of one', GroupNorm(group_size=1), InstanceNorm(), SHAPE
  yield 'space', LayerNorm(reduction_axes=(1, 2)), InstanceNorm(), SHAPE
  one = (1, *SHAPE[1:])
  yield 'one example', BatchNorm(epsilon=1e-6), InstanceNorm(), one


@pytest.mark.parametrize(
  'a, b, shape', [pytest.param(*rest, id=name) for name, *rest in pairs()]
)
def test_limit_cases_of_two_norms_are_equal(a, b, shape):
  x = reference.normal(shape, mean=2, std=3)
  params = {'params': reference.randomized(b, x)['params']}
  g = reference.normal(shape, seed=1)
  outputs = []
  for layer in (a, b):
    variables = {**reference.randomized(layer, x), **params}
    y, _ = reference.train(layer, variables, x)
    outputs.append((y, *reference.gradients(layer, variables, x, g)))
  for actual, desired in zip(*map(jax.tree.leaves, outputs), strict=True):
    np.testing.assert_allclose(actual, desired, rtol=1e-4, atol=1e-5)


@reference.FEW
@hypothesis.given(st.floats(1, 1e5, width=32))
def test_a_constant_gives_zero_whatever_its_size(value):
  # Three channels in a group: a third is not a float.
  layer = GroupNorm(num_groups=2, use_scale=False, use_bias=False)
  y, _ = reference.train(layer, {}, np.full(SHAPE, value, np.float32))
  np.testing.assert_allclose(y, 0, atol=1e-3)


@pytest.mark.parametrize(
  'fields',
  [
    {'num_groups': 4},
    {'num_groups': 0},
    {'num_groups': -2},
    {'group_size': 4},
    {'num_groups': None, 'group_size': 0},
    {},  # The default, 32.
  ],
)
def test_groups_that_do_not_divide_are_an_error_that_lists_divisors(fields):
  field = 'group_size' if 'group_size' in fields else 'num_groups'
  value = fields.get(field, 32)
  with pytest.raises(
    ValueError, match=f'{field}={value} .* allowed are 1, 2, 3, 6\\b'
  ):
    reference.randomized(GroupNorm(**fields), reference.normal(SHAPE))


@pytest.mark.parametrize(
  'fields',
  [
    {'num_groups': 2, 'group_size': 2},
    {'num_groups': None, 'group_size': None},
  ],
)
def test_both_or_neither_field_is_an_error_that_shows_them(fields):
  pattern = 'num_groups={num_groups}.*group_size={group_size}'
  with pytest.raises(ValueError, match=pattern.format(**fields)):
    reference.randomized(GroupNorm(**fields), reference.normal(SHAPE))


def test_reduction_axes_without_the_channels_are_an_error():
  with pytest.raises(ValueError, match='must include the last axis, 3'):
    reference.randomized(
      GroupNorm(2, reduction_axes=(1, 2)), reference.normal(SHAPE)
    )


def test_instance_norm_of_the_batch_axis_is_an_error():
  with pytest.raises(ValueError, match='feature_axes=0 must not include'):
    reference.randomized(InstanceNorm(feature_axes=0), reference.normal(SHAPE))


def test_instance_norm_of_vectors_is_the_bias():
  x = reference.normal((4, 6))
  variables = reference.randomized(InstanceNorm(), x)
  y, _ = reference.train(InstanceNorm(), variables, x)
  bias = jnp.broadcast_to(variables['params']['bias'], x.shape)
  np.testing.assert_array_equal(y, bias)
