import jax
import norms_reference as reference
import numpy as np
import pytest

from normlab.norms import Identity


@pytest.mark.parametrize('dtype', ['float16', 'float32', 'int32'])
def test_returns_its_input_whatever_the_other_arguments(dtype):
  x = np.arange(6).reshape(2, 3).astype(dtype)
  for use_running_average in (None, False, True):
    for mask in (None, np.zeros((2, 3), bool)):
      assert Identity().apply({}, x, use_running_average, mask=mask) is x


def test_has_no_variables():
  x = np.ones((2, 3), np.float32)
  assert not Identity().init(jax.random.key(0), x)


def test_passes_the_gradient_on():
  x, g = reference.normal((2, 4, 3))
  _, gradient = reference.gradients(Identity(), {}, x, g)
  np.testing.assert_array_equal(gradient, g)
