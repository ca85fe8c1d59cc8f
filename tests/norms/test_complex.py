"""Complex input, where flax takes it: same results, states and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from normlab import norms

LAYERS = {
  'BatchNorm': {'use_running_average': False},
  'LayerNorm': {},
  'GroupNorm': {'num_groups': 2},
  'InstanceNorm': {},
  'RMSNorm': {},
}


def complex_normal(shape, seed):
  generator = np.random.default_rng(seed)
  real, imaginary = generator.normal(0.5, 1, (2, *shape))
  return jnp.asarray(real + 1j * imaginary, jnp.complex64)


def results(layer):
  """Output, gradients and new state, all as leaves."""
  x, cotangent = (complex_normal((4, 3, 8), seed) for seed in (0, 1))
  variables = dict(layer.init(jax.random.key(0), x))
  params = variables.pop('params')

  @jax.jit
  def run(params, x):
    def apply(params, x):
      return layer.apply(
        {'params': params, **variables}, x, mutable=['batch_stats']
      )

    y, pullback, state = jax.vjp(apply, params, x, has_aux=True)
    return y, pullback(cotangent), state

  return jax.tree.leaves(run(params, x))


@pytest.mark.parametrize('dtype', ['float32', 'complex64'])
@pytest.mark.parametrize('name', LAYERS)
def test_complex_input_is_that_of_flax(name, dtype):
  fields = {**LAYERS[name], 'param_dtype': dtype}
  ours = results(getattr(norms, name)(**fields))
  theirs = results(getattr(nn, name)(**fields, use_fast_variance=False))
  for a, b in zip(ours, theirs, strict=True):
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


AVERAGING = [
  norms.BatchNorm,
  norms.LpBatchNorm,
  norms.MeanOnlyBatchNorm,
  norms.SwitchableNorm,
]


@pytest.mark.parametrize('layer', AVERAGING)
def test_a_running_mean_of_complex_values_is_complex_from_the_start(layer):
  x = complex_normal((4, 3, 8), 0)
  layer = layer(momentum=0.0, use_running_average=False)
  variables = layer.init(jax.random.key(0), x)
  assert variables['batch_stats']['mean'].dtype == jnp.complex64
  _, state = layer.apply(variables, x, mutable=['batch_stats'])
  mean = state['batch_stats']['mean']
  assert mean.dtype == jnp.complex64
  np.testing.assert_allclose(mean, x.mean((0, 1)), atol=1e-6)


@pytest.mark.parametrize('name', ['batch_renorm', 'evonorm_b0', 'evonorm_s0'])
def test_what_orders_numbers_refuses_complex_ones(name):
  layer = norms.build(name=name)()
  with pytest.raises(TypeError, match=f'^{type(layer).__name__}: .*complex64'):
    layer.init(jax.random.key(0), complex_normal((2, 32), 0), False)
