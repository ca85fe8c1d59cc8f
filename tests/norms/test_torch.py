"""PyTorch as an oracle: the same formulas by other hands."""

import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest

from normlab import norms

torch = pytest.importorskip('torch')
functional = torch.nn.functional

EPSILON = 1e-3
SHAPES = [(6, 4), (3, 2, 5, 4)]


def channels_first(array):
  return torch.tensor(np.moveaxis(np.array(array), -1, 1).copy())


def channels_last(tensor):
  return np.moveaxis(tensor.detach().numpy(), 1, -1)


def assert_equal_torch(layer, function, x, variables, *, image):
  """Compares outputs and gradients; `function(x, scale, bias)` is PyTorch's.

  `image`: whether it wants the channels first.
  """
  cotangent = reference.normal(x.shape, seed=9)
  there, back = (channels_first, channels_last)
  if not image:
    there, back = torch.tensor, lambda tensor: tensor.detach().numpy()
  params = {
    key: torch.tensor(np.array(value), requires_grad=True)
    for key, value in variables['params'].items()
  }
  input_ = there(x).requires_grad_()
  desired = function(input_, params['scale'], params.get('bias'))
  (desired * there(cotangent)).sum().backward()

  y, _ = reference.train(layer, variables, x)
  gradients, gradient = reference.gradients(layer, variables, x, cotangent)
  np.testing.assert_allclose(y, back(desired), rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(gradient, back(input_.grad), rtol=1e-4, atol=1e-5)
  assert set(gradients) == set(params)
  for key, value in gradients.items():
    np.testing.assert_allclose(
      value, params[key].grad.numpy(), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize('shape', SHAPES)
def test_batch_norm_trains_alike(shape):
  layer = norms.BatchNorm(momentum=0.9, epsilon=EPSILON)
  x = reference.normal(shape, mean=2, std=3)
  variables = reference.randomized(layer, x)
  state = {
    key: torch.tensor(np.array(value))
    for key, value in variables['batch_stats'].items()
  }

  def function(x, scale, bias):
    # Their momentum is the share of the new value.
    return functional.batch_norm(
      x, state['mean'], state['var'], scale, bias, True, 1 - 0.9, EPSILON
    )

  assert_equal_torch(layer, function, x, variables, image=True)
  _, after = reference.train(layer, variables, x)
  np.testing.assert_allclose(
    after['batch_stats']['mean'], state['mean'].numpy(), rtol=1e-5
  )
  # They store the unbiased variance, m / (m - 1) times ours; the share of the
  # old one is the same.
  m = x.size / x.shape[-1]
  kept = 0.9 * variables['batch_stats']['var']
  ours = (after['batch_stats']['var'] - kept) * m / (m - 1)
  np.testing.assert_allclose(ours, state['var'].numpy() - kept, rtol=1e-4)
  assert abs(after['batch_stats']['var'] - state['var'].numpy()).min() > 1e-3


@pytest.mark.parametrize('shape', SHAPES)
def test_batch_norm_infers_alike(shape):
  layer = norms.BatchNorm(epsilon=EPSILON)
  x = reference.normal(shape, mean=2, std=3)
  variables = reference.randomized(layer, x)
  mean, var, scale, bias = (
    torch.tensor(np.array(variables[collection][key]))
    for collection, key in (
      ('batch_stats', 'mean'),
      ('batch_stats', 'var'),
      ('params', 'scale'),
      ('params', 'bias'),
    )
  )
  cotangent = reference.normal(shape, seed=9)
  input_ = channels_first(x).requires_grad_()
  desired = functional.batch_norm(
    input_, mean, var, scale, bias, False, 0.1, EPSILON
  )
  (desired * channels_first(cotangent)).sum().backward()

  y = reference.evaluate(layer, variables, x)
  gradient = jax.grad(
    lambda x: (reference.evaluate(layer, variables, x) * cotangent).sum()
  )(jnp.asarray(x))
  np.testing.assert_allclose(y, channels_last(desired), rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(
    gradient, channels_last(input_.grad), rtol=1e-5, atol=1e-6
  )


@pytest.mark.parametrize('whole', [False, True])
def test_layer_norm_is_alike(whole):
  shape = (3, 2, 5, 4)
  axes = (1, 2, 3) if whole else (3,)
  layer = norms.LayerNorm(EPSILON, reduction_axes=axes, feature_axes=axes)
  x = reference.normal(shape, mean=2, std=3)

  def function(x, scale, bias):
    return functional.layer_norm(
      x, [shape[axis] for axis in axes], scale, bias, EPSILON
    )

  variables = reference.randomized(layer, x)
  assert_equal_torch(layer, function, x, variables, image=False)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('groups', [1, 2])
def test_group_norm_is_alike(shape, groups):
  layer = norms.GroupNorm(groups, epsilon=EPSILON)
  x = reference.normal(shape, mean=2, std=3)

  def function(x, scale, bias):
    return functional.group_norm(x, groups, scale, bias, EPSILON)

  variables = reference.randomized(layer, x)
  assert_equal_torch(layer, function, x, variables, image=True)


def test_instance_norm_is_alike():
  layer = norms.InstanceNorm(EPSILON)
  x = reference.normal((3, 2, 5, 4), mean=2, std=3)

  def function(x, scale, bias):
    return functional.instance_norm(x, weight=scale, bias=bias, eps=EPSILON)

  variables = reference.randomized(layer, x)
  assert_equal_torch(layer, function, x, variables, image=True)


@pytest.mark.parametrize('shape', SHAPES)
def test_rms_norm_is_alike(shape):
  layer = norms.RMSNorm(EPSILON)
  x = reference.normal(shape, mean=2, std=3)

  def function(x, scale, bias):
    assert bias is None
    return functional.rms_norm(x, shape[-1:], scale, EPSILON)

  variables = reference.randomized(layer, x)
  assert_equal_torch(layer, function, x, variables, image=False)
