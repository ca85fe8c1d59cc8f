"""The functions change no value; and what they are for is read off programs."""

import functools

import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from normlab.norms.core import fusion

X = reference.normal((4, 3, 2, 5))
SMALL = reference.normal((1, 3, 1, 5), seed=1)
AXES = [(3,), (0,), (0, 2), (1, 2), (0, 1, 3), (0, 1, 2, 3)]
every_axes = pytest.mark.parametrize('axes', AXES)


def mesh(*sizes):
  if jax.device_count() < np.prod(sizes):
    pytest.skip(f'needs {np.prod(sizes)} devices')
  names = ('data', 'model')[: len(sizes)]
  return jax.make_mesh(sizes, names, (AxisType.Explicit,) * len(sizes))


@pytest.mark.parametrize(
  'arrays', [[X], [X, SMALL], [X, SMALL, SMALL]], ids=len
)
def test_what_is_apart_has_the_values_it_had(arrays):
  separate = fusion.apart(*arrays)
  jax.tree.map(np.testing.assert_array_equal, separate, tuple(arrays))


def product(x, small):
  one, other = fusion.apart(x, small)
  return jnp.square(one * other).sum()


@pytest.mark.parametrize('argnums', [0, 1, (0, 1)], ids=str)
@pytest.mark.parametrize('jit', [False, True])
def test_what_is_apart_has_the_derivatives_it_had(argnums, jit):
  # A derivative for one array alone is zero, and so constant, for the others.
  wrapped = jax.jit if jit else lambda f: f

  def plain(x, small):
    return jnp.square(x * small).sum()

  def gradients(function):
    first = jax.grad(function, argnums)

    def total(*args):
      leaves = jax.tree.leaves(first(*args))
      return sum(jnp.sin(leaf).sum() for leaf in leaves)

    return wrapped(first), wrapped(jax.grad(total, argnums))

  for ours, desired in zip(gradients(product), gradients(plain), strict=True):
    jax.tree.map(
      functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5),
      ours(X, SMALL),
      desired(X, SMALL),
    )


def test_terms_apart_in_the_transpose_are_a_linear_map_of_each():
  terms = fusion.apart_in_transpose(X, SMALL, X)
  jax.tree.map(np.testing.assert_array_equal, terms, [X, SMALL, X])

  def with_constants(x):
    # A term that does not depend on x is not differentiated.
    return sum(fusion.apart_in_transpose(x, jnp.asarray(SMALL), 2 * x))

  (pulled,) = jax.linear_transpose(lambda x: with_constants(x) - SMALL, X)(X)
  np.testing.assert_allclose(pulled, 3 * X, rtol=1e-6)


@every_axes
def test_reductions_apart_need_no_array_in_common(axes, temporary_share):
  # Both reduce x - mean, which is computed once and written out where they
  # share it.
  def reductions(x, mean, separate):
    one = other = (x, mean)
    if separate:
      # Another combination of arrays: equal ones would be merged too.
      one, other = fusion.apart(x, mean), fusion.apart(x, mean, mean)[:2]
    square = jnp.square(other[0] - other[1])
    return (one[0] - one[1]).sum(axes), square.sum(axes)

  x, mean = (
    jax.ShapeDtypeStruct(shape, 'float32')
    for shape in ((16, 16, 16, 64), (1, 1, 1, 64))
  )

  def temporary(separate):
    function = jax.jit(reductions, static_argnums=2)
    return temporary_share(function, x, mean, separate)

  assert temporary(False) >= 1
  assert temporary(True) < 1 / 4


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'complex64'])
def test_once_changes_no_value(dtype):
  small = jnp.asarray(SMALL, dtype) * (1 + 2**-7)
  result = jax.jit(fusion.once)(small)
  assert result.dtype == dtype
  np.testing.assert_array_equal(result, small)


def test_once_is_linear_and_its_own_transpose():
  dual, tangent = reference.normal((2, *SMALL.shape), seed=2)
  y, pushed = jax.jvp(fusion.once, (SMALL,), (tangent,))
  np.testing.assert_array_equal(y, SMALL)
  np.testing.assert_array_equal(pushed, tangent)
  (pulled,) = jax.linear_transpose(fusion.once, SMALL)(dual)
  np.testing.assert_array_equal(pulled, dual)


@every_axes
def test_total_is_the_sum(axes):
  desired = X.astype(np.float64).sum(axes, keepdims=True)
  np.testing.assert_allclose(
    fusion.total(X, axes), desired, rtol=1e-5, atol=1e-5
  )


def spread_out(small, like):
  """`spread`, and its last step."""
  return jnp.broadcast_to(fusion.spread(small, like), like.shape)


@every_axes
def test_spread_is_the_broadcast_but_for_its_last_step(axes):
  small = X.sum(axes, keepdims=True)
  desired = np.broadcast_to(small, X.shape)
  np.testing.assert_array_equal(spread_out(small, X), desired)
  shape = fusion.spread(small, X).shape
  missing = [a for a in range(X.ndim) if shape[a] != X.shape[a]]
  assert missing == [max(axes)]


@every_axes
def test_total_and_spread_are_transposes_of_each_other(axes):
  small = reference.normal(X.sum(axes, keepdims=True).shape, seed=3)
  total = functools.partial(fusion.total, axes=axes)
  (pulled,) = jax.linear_transpose(total, X)(small)
  np.testing.assert_array_equal(pulled, spread_out(small, X))
  spread = functools.partial(spread_out, like=X)
  (pulled,) = jax.linear_transpose(spread, small)(X)
  np.testing.assert_allclose(pulled, total(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('slices', [1, 2, 4])
def test_slices_are_consecutive_and_joined_undoes_them(slices):
  parts = fusion.sliced(jnp.asarray(X), slices)
  assert parts.shape == (slices, 4 // slices, *X.shape[1:])
  for part, desired in zip(parts, np.split(X, slices), strict=True):
    np.testing.assert_array_equal(part, desired)
  np.testing.assert_array_equal(fusion.joined(parts, jnp.asarray(X)), X)


@pytest.mark.parametrize('slices', [1, 2, 4])
@pytest.mark.parametrize('spec', [('data',), ('data', None, 'model'), ()])
def test_slices_of_a_divided_batch_join_to_one_divided_alike(slices, spec):
  with jax.set_mesh(mesh(2, 2)):
    x = jax.device_put(X, PartitionSpec(*spec))

    @jax.jit
    def round_trip(x):
      parts = fusion.sliced(x, slices)
      return parts, fusion.joined(parts, x)

    parts, y = round_trip(x)
    np.testing.assert_array_equal(parts.reshape(X.shape), X)
    np.testing.assert_array_equal(y, X)
    assert jax.typeof(y) == jax.typeof(x)


@pytest.mark.parametrize(
  'spec, desired',
  [((), 1), (('data',), 4), (('model',), 2), ((('data', 'model'),), 8)],
)
def test_batch_shards_are_the_devices_along_the_first_axis(spec, desired):
  with jax.set_mesh(mesh(4, 2)):
    x = jax.device_put(np.zeros((8, 2)), PartitionSpec(*spec))
    assert fusion.batch_shards(x) == desired


def test_inside_shard_map_a_batch_is_whole():
  found = []

  def note(x):
    found.append((len(x), fusion.batch_shards(x)))
    return x

  with jax.set_mesh(mesh(4)):
    split = PartitionSpec('data')
    x = jax.device_put(np.zeros((8, 2)), split)
    jax.shard_map(note, in_specs=split, out_specs=split)(x)
  assert set(found) == {(2, 1)}


def test_broadcast_divides_among_devices_as_its_model_is():
  with jax.set_mesh(mesh(4)):
    like = jax.device_put(np.zeros((8, 3)), PartitionSpec('data'))
    small = jnp.arange(3.0)[None]
    y = jax.jit(lambda s, like: fusion.broadcast(s, (8, 3), like))(small, like)
    assert jax.typeof(y) == jax.typeof(like)
    np.testing.assert_array_equal(y, np.broadcast_to(small, (8, 3)))


def test_size_together_is_that_of_the_broadcast():
  assert fusion.size_together(X) == X.size
  assert fusion.size_together(np.zeros((4, 1, 1)), np.zeros((5, 1))) == 20
