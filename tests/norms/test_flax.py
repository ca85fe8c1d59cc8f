"""The norms that flax.linen has too are drop-ins for its own."""

import dataclasses
import functools

import hypothesis
import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from flax import linen as nn
from flax import serialization
from hypothesis import strategies as st

from normlab import norms

# (shape, fields); few, since each is two programs to compile: what is drawn are
# pairs of these with values, parameters, states and masks.
CASES = {
  'BatchNorm': [
    ((8, 3), {}),
    ((4, 2, 3), {'momentum': 0.9, 'epsilon': 1e-3}),
    ((4, 3, 2), {'axis': 1, 'use_bias': False}),
    ((4, 2, 3), {'axis': (0, -1), 'use_scale': False}),
  ],
  'LayerNorm': [
    ((2, 6), {}),
    ((2, 3, 4), {'reduction_axes': (1, 2), 'epsilon': 1e-3}),
    ((2, 3, 4), {'reduction_axes': (-1, -2), 'feature_axes': (-1, 1)}),
    ((4, 3, 2), {'reduction_axes': 0, 'feature_axes': 1, 'use_bias': False}),
  ],
  'GroupNorm': [
    ((3, 6), {'num_groups': 2}),
    ((2, 3, 2, 6), {'num_groups': 3}),
    ((2, 3, 6), {'num_groups': None, 'group_size': 2, 'use_scale': False}),
    # Where flax.nnx repeats along the wrong axis.
    ((2, 2, 3, 4), {'num_groups': 2, 'reduction_axes': (2, 3)}),
  ],
  'InstanceNorm': [
    ((2, 6, 3), {}),
    ((2, 3, 2, 2), {'epsilon': 1e-3, 'use_scale': False}),
    ((2, 3, 4), {'feature_axes': 1}),
    ((2, 2, 4, 3), {'feature_axes': (1, -1), 'use_bias': False}),
  ],
  'RMSNorm': [
    ((2, 6), {}),
    ((2, 3, 4), {'reduction_axes': (1, 2), 'epsilon': 1e-3}),
    ((2, 3, 4), {'feature_axes': (1, 2)}),
    ((2, 3, 4), {'use_scale': False}),
  ],
}
# As in flax, but for its fast variance, which loses digits.
ACCURATE = {'use_fast_variance': False}

every_class = pytest.mark.parametrize('name', CASES)
every_case = pytest.mark.parametrize(
  'name, shape, fields',
  [(name, *case) for name, cases in CASES.items() for case in cases],
)


def mode(name, use_running_average=False):
  """The call's argument, where flax's layer takes it."""
  taken = name == 'BatchNorm'
  return {'use_running_average': use_running_average} if taken else {}


@functools.cache
def program(library, name, case):
  """Compiled: training and inference outputs, state and gradients."""
  _, fields = CASES[name][case]
  layer = getattr(library, name)(**ACCURATE, **fields)

  @jax.jit
  def run(variables, x, mask, cotangent):
    def loss(params, x):
      y, state = layer.apply(
        {**variables, 'params': params},
        x,
        mask=mask,
        mutable=['batch_stats'],
        **mode(name),
      )
      return (y * cotangent).sum(), (y, state)

    gradients, (y, state) = jax.grad(loss, (0, 1), has_aux=True)(
      variables.get('params', {}), x
    )
    inference = layer.apply(variables, x, **mode(name, True))
    return {'y': y, 'inference': inference, **state}, gradients

  return run


def test_all_norms_that_flax_has_are_compared():
  shared = {
    layer.__name__
    for layer in norms.NORMS.values()
    if hasattr(nn, layer.__name__)
  }
  assert shared == set(CASES)


@every_class
def test_positional_fields_have_the_same_names_order_and_defaults(name):
  def positional(layer):
    return [
      (field.name, field.default, field.default_factory)
      for field in dataclasses.fields(layer)
      if not field.kw_only
    ]

  ours, theirs = (positional(getattr(lib, name)) for lib in (norms, nn))
  assert len(theirs) > 8
  assert ours == theirs


@every_case
@pytest.mark.parametrize(
  'dtypes',
  [
    {},
    {'param_dtype': jnp.bfloat16},
    {'param_dtype': jnp.float16, 'force_float32_reductions': False},
  ],
)
def test_variables_have_the_same_tree_shapes_and_dtypes(
  name, shape, fields, dtypes
):
  ours, theirs = (
    jax.eval_shape(
      functools.partial(
        getattr(library, name)(**fields, **dtypes).init, **mode(name)
      ),
      jax.random.key(0),
      jnp.zeros(shape),
    )
    for library in (norms, nn)
  )
  assert ours == theirs


@every_class
@pytest.mark.parametrize('dtype', [None, jnp.float16])
@pytest.mark.parametrize('force', [True, False])
def test_outputs_have_the_same_dtype(name, dtype, force):
  shape, fields = CASES[name][0]

  def output(library, given):
    layer = getattr(library, name)(
      **fields, dtype=dtype, force_float32_reductions=force
    )
    return jax.eval_shape(
      functools.partial(layer.init_with_output, **mode(name)),
      jax.random.key(0),
      jnp.zeros(shape, given),
    )[0]

  for given in (jnp.float32, jnp.bfloat16):
    assert output(norms, given) == output(nn, given)


@every_class
@reference.FEW
@hypothesis.given(data=st.data())
def test_outputs_gradients_and_states_are_equal(name, data):
  case = data.draw(st.sampled_from(range(len(CASES[name]))), 'case')
  seed = data.draw(st.integers(0, 999), 'seed')
  offset = data.draw(st.sampled_from([0, 1, -5]), 'offset')
  share = data.draw(st.sampled_from([1.0, 0.7, 0.3]), 'share of the mask')
  shape, fields = CASES[name][case]
  x = reference.normal(shape, seed, mean=offset, std=2)
  mask = np.random.default_rng(seed).random(shape) < share
  # flax divides by zero where a mask leaves nothing: keep one of neighbours.
  mask |= np.indices(shape).sum(0) % 2 == 0
  layer = getattr(norms, name)(**fields)
  variables = reference.randomized(layer, x, seed)
  cotangent = reference.normal(shape, seed + 1)
  (ours, our_gradients), (theirs, their_gradients) = (
    program(library, name, case)(variables, x, mask, cotangent)
    for library in (norms, nn)
  )
  reference.assert_trees_close(ours, theirs, rtol=1e-5, atol=1e-5)
  for actual, desired in zip(
    *map(jax.tree.leaves, (our_gradients, their_gradients)), strict=True
  ):
    np.testing.assert_allclose(actual, desired, rtol=1e-4, atol=1e-4)


@every_class
def test_without_a_mask_outputs_and_states_are_equal(name):
  shape, fields = CASES[name][0]
  x = reference.normal(shape, mean=1)
  layer = getattr(norms, name)(**fields)
  variables = reference.randomized(layer, x)
  ours, theirs = (
    getattr(library, name)(**ACCURATE, **fields).apply(
      variables, x, mutable=['batch_stats'], **mode(name)
    )
    for library in (norms, nn)
  )
  for actual, desired in zip(
    *map(jax.tree.leaves, (ours, theirs)), strict=True
  ):
    np.testing.assert_allclose(actual, desired, rtol=1e-5, atol=1e-5)


@every_class
@pytest.mark.parametrize('saver, loader', [(nn, norms), (norms, nn)])
def test_saved_variables_load_into_the_other_library(name, saver, loader):
  shape, fields = CASES[name][0]
  x = reference.normal(shape, mean=1)
  saved, loaded = (
    getattr(library, name)(**fields) for library in (saver, loader)
  )
  variables = reference.randomized(getattr(norms, name)(**fields), x)
  target = loaded.init(jax.random.key(0), x, **mode(name))
  restored = serialization.from_bytes(target, serialization.to_bytes(variables))
  np.testing.assert_allclose(
    loaded.apply(restored, x, **mode(name, True)),
    saved.apply(variables, x, **mode(name, True)),
    rtol=1e-5,
    atol=1e-5,
  )


@every_class
def test_initial_values_are_the_same(name):
  shape, fields = CASES[name][0]
  x = reference.normal(shape)
  ours, theirs = (
    getattr(library, name)(**fields).init(jax.random.key(0), x, **mode(name))
    for library in (norms, nn)
  )
  reference.assert_trees_close(ours, theirs, rtol=0)


@every_class
def test_initializers_get_the_same_keys(name):
  shape, fields = CASES[name][0]
  x = reference.normal(shape)
  ours, theirs = (
    getattr(library, name)(**fields, scale_init=nn.initializers.normal()).init(
      jax.random.key(0), x, **mode(name)
    )
    for library in (norms, nn)
  )
  scale = theirs['params']['scale']
  assert scale.std() > 0
  np.testing.assert_array_equal(ours['params']['scale'], scale)


def test_fast_variance_loses_what_ours_keeps():
  x = reference.normal((64, 3), mean=1e4)
  desired = reference.standardized(x, (0,), epsilon=1e-5)
  ours, theirs = (
    library.BatchNorm(False, use_fast_variance=True).init_with_output(
      jax.random.key(0), x
    )[0]
    for library in (norms, nn)
  )
  np.testing.assert_allclose(ours, desired, atol=2e-3)
  assert abs(theirs - desired).max() > 0.1  # Else the field could go.
