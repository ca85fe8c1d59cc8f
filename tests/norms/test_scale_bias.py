import jax
import norms_reference as reference
import numpy as np
import pytest

from normlab.norms.scale_bias import ScaleBias

SHAPE = (4, 3, 5)


def test_scales_and_shifts_each_channel():
  x = reference.normal(SHAPE, mean=1e4)
  variables = reference.randomized(ScaleBias(), x)
  scale, bias = variables['params']['scale'], variables['params']['bias']
  assert scale.shape == bias.shape == (5,)
  y, after = reference.train(ScaleBias(), variables, x)
  desired = x.astype(np.float64) * np.float64(scale) + np.float64(bias)
  np.testing.assert_allclose(y, desired, rtol=1e-6)
  assert 'batch_stats' not in after


def test_is_the_identity_at_first():
  x = reference.normal(SHAPE)
  y, _ = ScaleBias().init_with_output(jax.random.key(0), x)
  np.testing.assert_array_equal(y, x)


def test_has_no_option_that_does_nothing():
  for field in ('epsilon', 'axis_name', 'use_fast_variance'):
    with pytest.raises(TypeError, match=field):
      ScaleBias(**{field: None})


@pytest.mark.parametrize('without', ['use_scale', 'use_bias'])
def test_scale_or_bias_can_be_left_out(without):
  layer = ScaleBias(**{without: False})
  x = reference.normal(SHAPE)
  params = reference.randomized(layer, x)['params']
  assert set(params) == {'scale', 'bias'} - {without.removeprefix('use_')}
  y = layer.apply({'params': params}, x)
  desired = x * params.get('scale', 1) + params.get('bias', 0)
  np.testing.assert_allclose(y, desired, rtol=1e-6, atol=1e-6)
