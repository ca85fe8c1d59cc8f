"""Of the size of the input, a norm needs the input and the results: no more."""

import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest

from normlab import norms

LAYERS = {
  'batch': norms.BatchNorm(False),
  'group': norms.GroupNorm(8),
  'instance': norms.InstanceNorm(),
  'layer': norms.LayerNorm(),
  'layer of examples': norms.LayerNorm(reduction_axes=(1, 2, 3)),
  'rms': norms.RMSNorm(),
}
every_layer = pytest.mark.parametrize('name', LAYERS)
every_dtype = pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])


def prepared(name, dtype, shape):
  """A function of (params, x), and shapes for it."""
  layer = LAYERS[name].clone(dtype=dtype)
  x = jax.ShapeDtypeStruct(shape, dtype)
  variables = jax.eval_shape(layer.init, jax.random.key(0), x)
  state = {
    'batch_stats': jax.tree.map(
      lambda leaf: np.ones(leaf.shape, leaf.dtype),
      variables.get('batch_stats', {}),
    )
  }

  def function(params, x):
    return layer.apply({'params': params, **state}, x, mutable=['batch_stats'])

  return function, variables['params'], x


@every_layer
@every_dtype
def test_training_needs_no_temporary_array_of_the_size_of_the_input(
  name, dtype, temporary_share
):
  function, params, x = prepared(name, dtype, (16, 16, 16, 64))

  def forward_and_backward(x, params, cotangent):
    y, pull_back, state = jax.vjp(function, params, x, has_aux=True)
    return y, state, pull_back(cotangent)

  assert temporary_share(jax.jit(forward_and_backward), x, params, x) < 1 / 4


def large(pull_back, size):
  """What a backward pass keeps of this size or more."""
  return [leaf for leaf in jax.tree.leaves(pull_back) if leaf.size >= size]


@every_layer
@every_dtype
def test_the_backward_pass_keeps_nothing_of_the_size_of_the_input_but_it(
  name, dtype
):
  function, params, x = prepared(name, dtype, (4, 2, 2, 8))

  @jax.jit
  def pull_back(params, x):
    return jax.vjp(function, params, x, has_aux=True)[1]

  params = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), params)
  x = jnp.asarray(reference.normal(x.shape), dtype)
  (kept,) = large(pull_back(params, x), x.size)
  assert kept.dtype == dtype
  np.testing.assert_array_equal(kept, x)


@every_layer
def test_a_scan_over_layers_keeps_one_input_a_layer(name):
  function, params, x = prepared(name, 'bfloat16', (4, 2, 2, 8))

  def pull_back(params, x):
    def network(params, x):
      return jax.lax.scan(
        lambda h, _: (function(params, h)[0], None), x, length=5
      )[0]

    return jax.vjp(network, params, x)[1]

  (kept,) = large(jax.eval_shape(pull_back, params, x), 5 * x.size)
  assert (kept.shape, kept.dtype) == ((5, *x.shape), x.dtype)
