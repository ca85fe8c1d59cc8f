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
from hypothesis import strategies as st

from normlab import norms

# (shape, fields), the first of each with defaults.
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
# Each draw is two programs to compile.
DRAWN = hypothesis.settings(reference.FEW, max_examples=5)

every_class = pytest.mark.parametrize('name', CASES)
every_case = pytest.mark.parametrize(
  'name, shape, fields',
  [(name, *case) for name, cases in CASES.items() for case in cases],
)


def mode(name, use_running_average=False):
  """The call's argument, where flax's layer takes it."""
  taken = name == 'BatchNorm'
  return {'use_running_average': use_running_average} if taken else {}


def test_all_norms_that_flax_has_are_compared():
  shared = {
    layer.__name__
    for layer in norms.NORMS.values()
    if hasattr(nn, layer.__name__)
  }
  # Norms of kernels are compared in their own files.
  assert shared == {*CASES, 'WeightNorm', 'SpectralNorm'}


@pytest.mark.parametrize('name', [*CASES, 'WeightNorm', 'SpectralNorm'])
def test_positional_fields_have_the_same_names_order_and_defaults(name):
  def positional(layer):
    return [
      (
        field.name,
        field.default
        if field.default_factory is dataclasses.MISSING
        else field.default_factory(),
      )
      for field in dataclasses.fields(layer)
      if not field.kw_only
    ]

  ours, theirs = (positional(getattr(lib, name)) for lib in (norms, nn))
  assert len(theirs) > 7
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


@st.composite
def problems(draw, name):
  """A shape, fields for this norm, and the axes that its statistics share."""
  groups = draw(st.integers(1, 3))
  space = draw(st.lists(st.integers(2, 4), max_size=2))
  shape = (draw(st.integers(2, 4)), *space, groups * draw(st.integers(1, 3)))
  rank = len(shape)

  def some(axes, least=1, most=None):
    return draw(st.sets(st.sampled_from(axes), min_size=least, max_size=most))

  def signed(axes):
    return tuple(axis - draw(st.sampled_from([0, rank])) for axis in axes)

  fields = {'epsilon': 1e-2, 'use_scale': draw(st.booleans())}
  if name != 'RMSNorm':
    fields['use_bias'] = draw(st.booleans())
  if name == 'BatchNorm':
    features = some(range(rank), most=rank - 1)
    reduced = {*range(rank)} - features
    fields['axis'] = signed(features)
  elif name == 'InstanceNorm':
    features = some(range(1, rank))
    reduced = {*range(1, rank)} - features
    fields['feature_axes'] = signed(features)
  elif name == 'GroupNorm':
    reduced = some(range(rank - 1), least=0)
    fields['reduction_axes'] = (*sorted(reduced), rank - 1)
    by_size = draw(st.booleans())
    fields['num_groups'] = None if by_size else groups
    fields['group_size'] = shape[-1] // groups if by_size else None
  else:
    reduced = some(range(rank))
    fields['reduction_axes'] = signed(reduced)
    fields['feature_axes'] = signed(some(range(rank)))
  return shape, fields, reduced


@functools.partial(jax.jit, static_argnums=0)
def run(layer, variables, x, mask, cotangent):
  """Of one program: outputs and gradients, and the state."""
  kwargs = {'mutable': ['batch_stats'], 'mask': mask}
  name = type(layer).__name__

  def loss(params, x):
    y, state = layer.apply(
      {**variables, 'params': params}, x, **mode(name), **kwargs
    )
    return (y.astype(cotangent.dtype) * cotangent).sum(), (y, state)

  gradients, (y, state) = jax.grad(loss, (0, 1), has_aux=True)(
    variables.get('params', {}), x
  )
  results = {'y': y, 'gradients': gradients}
  if mode(name):
    results['inference'], _ = layer.apply(
      variables, x, **mode(name, True), **kwargs
    )
  return results, dict(state)


@every_class
@DRAWN
@hypothesis.given(data=st.data())
def test_outputs_gradients_and_states_are_equal(name, data):
  shape, fields, reduced = data.draw(problems(name), 'problem')
  dtype = data.draw(st.sampled_from(list(reference.PRECISION)), 'dtype')
  offset = data.draw(st.sampled_from([0, 1, -5]), 'offset')
  share = data.draw(st.sampled_from([None, 0.7, 0.3]), 'share of the mask')
  x = reference.normal(shape, mean=offset, std=2)
  mask = None
  if share is not None:
    mask = np.random.default_rng(0).random(shape) < share
    # flax divides by zero where a mask leaves nothing.
    mask[tuple(0 if a in reduced else slice(None) for a in range(x.ndim))] = (
      True
    )
  full = 'float64' if dtype == 'float64' else 'float32'
  ours, theirs = (
    getattr(library, name)(**ACCURATE, **fields, dtype=dtype, param_dtype=full)
    for library in (norms, nn)
  )
  with jax.enable_x64(full == 'float64'):
    x = jnp.asarray(x, dtype)
    cotangent = jnp.asarray(reference.normal(shape, 1), full)
    variables = reference.randomized(ours, x)
    (actual, state), (desired, desired_state) = (
      run(layer, variables, x, mask, cotangent) for layer in (ours, theirs)
    )
  assert jax.tree.structure(actual) == jax.tree.structure(desired)
  for a, b in zip(*map(jax.tree.leaves, (actual, desired)), strict=True):
    assert a.dtype == b.dtype
    reference.assert_precise(a, b, reference.PRECISION[dtype])
  # In float32 always.
  reference.assert_trees_close(state, desired_state, rtol=1e-5, atol=1e-5)


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
