import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest

from normlab.norms.dynamic_tanh import DynamicTanh
from normlab.norms.scale_bias import ScaleBias

SHAPE = (4, 3, 5)


def test_equals_the_float64_formula():
  x = reference.normal(SHAPE, mean=0.5, std=2)
  variables = reference.randomized(DynamicTanh(), x)
  alpha, scale, bias = (
    np.float64(variables['params'][key]) for key in ('alpha', 'scale', 'bias')
  )
  y, after = reference.train(DynamicTanh(), variables, x)
  desired = np.tanh(alpha * x.astype(np.float64)) * scale + bias
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-6)
  assert 'batch_stats' not in after


@pytest.mark.parametrize('alpha', [0.5, 2.0])
def test_alpha_is_one_scalar_with_the_initial_value_of_the_field(alpha):
  layer = DynamicTanh() if alpha == 0.5 else DynamicTanh(alpha_init=alpha)
  params = layer.init(jax.random.key(0), jnp.ones(SHAPE))['params']
  assert params['alpha'].shape == ()
  assert params['alpha'] == alpha


def test_a_small_alpha_is_a_scale():
  x = reference.normal(SHAPE)
  variables = reference.randomized(DynamicTanh(), x)
  params = {**variables['params'], 'alpha': jnp.float32(1e-4)}
  y, _ = reference.train(DynamicTanh(), {'params': params}, x)
  scaled = {'scale': 1e-4 * params['scale'], 'bias': params['bias']}
  desired, _ = reference.train(ScaleBias(), {'params': scaled}, x)
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-6)


def test_large_values_are_squashed_to_the_scale():
  x = np.sign(reference.normal(SHAPE)).astype(np.float16) * np.float16(6e4)
  variables = reference.randomized(DynamicTanh(), x)
  params = variables['params']
  y, _ = reference.train(DynamicTanh(), variables, x)
  desired = np.sign(x) * params['scale'] + params['bias']
  np.testing.assert_allclose(y, desired, rtol=1e-6, atol=1e-6)
  gradients = reference.gradients(DynamicTanh(), variables, x, np.ones(SHAPE))
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_half_precision_is_rounded_once():
  x = jnp.asarray(reference.normal(SHAPE), jnp.bfloat16)
  layer = DynamicTanh(param_dtype=jnp.bfloat16, alpha_init=0.3)
  params = layer.init(jax.random.key(0), x)['params']
  y = layer.apply({'params': params}, x)
  assert y.dtype == jnp.bfloat16
  desired = np.tanh(np.float64(params['alpha']) * np.asarray(x, np.float64))
  np.testing.assert_array_equal(y, jnp.asarray(desired, jnp.bfloat16))


@pytest.mark.parametrize('alpha', [0.0, -1.0, float('nan'), float('inf')])
def test_a_bad_alpha_is_an_error_that_names_the_field(alpha):
  with pytest.raises(ValueError, match=f'^DynamicTanh: alpha_init={alpha}'):
    DynamicTanh(alpha_init=alpha).init(jax.random.key(0), jnp.ones(SHAPE))
