"""PyTorch as an oracle: the same formulas by other hands.

Its weight and spectral norm are compared in the files of these norms.
"""

import dataclasses
import functools

import hypothesis
import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest
from hypothesis import strategies as st

from normlab import norms

torch = pytest.importorskip('torch')
functional = torch.nn.functional

EPSILON = 1e-3
# Each draw is a program to compile.
DRAWN = hypothesis.settings(reference.FEW, max_examples=8)


@dataclasses.dataclass(frozen=True)
class Problem:
  """What is drawn; each norm takes what it has use for.

  Attributes:
    shape: of the input: batch, space, features.
    axis: of the features, where the norm lets them lie elsewhere: -1 or 1.
    groups: divides the features.
    last: how many of the last axes are normalized together.
    dtype: of input and result.
    seed: of the values.
  """

  shape: tuple[int, ...]
  axis: int
  groups: int
  last: int
  dtype: str
  seed: int

  @property
  def last_axes(self):
    return tuple(range(-self.last, 0))


@st.composite
def problems(draw):
  """Vectors, signals, images and volumes."""
  batch, *space = draw(st.lists(st.integers(2, 4), min_size=1, max_size=4))
  groups = draw(st.integers(1, 3))
  return Problem(
    (batch, *space, groups * draw(st.integers(1, 3))),
    draw(st.sampled_from([-1, 1])),
    groups,
    draw(st.integers(1, len(space) + 1)),
    draw(st.sampled_from(list(reference.PRECISION))),
    draw(st.integers(0, 99)),
  )


def tensor(array, dtype):
  return torch.tensor(np.array(array, np.float64)).to(getattr(torch, dtype))


def array(tensor):
  return tensor.detach().to(torch.float64).numpy()


def features_second(function, axis=-1):
  """Theirs, which wants features behind the batch, of features at `axis`."""

  def call(x, *args):
    return torch.movedim(function(torch.movedim(x, axis, 1), *args), 1, axis)

  return call


@functools.partial(jax.jit, static_argnums=0)
def program(layer, variables, x, cotangent):
  """Output, state and gradients, of one program."""

  def loss(params, x):
    y, after = reference.training(layer, {**variables, 'params': params}, x)
    return (y.astype(cotangent.dtype) * cotangent).sum(), (y, after)

  gradients, (y, after) = jax.grad(loss, (0, 1), has_aux=True)(
    variables['params'], x
  )
  return y, after, gradients


def assert_equal_torch(problem, layer, function):
  """Compares outputs, gradients and running statistics.

  Args:
    problem: what was drawn.
    layer: ours, but for its dtypes.
    function: theirs, of (x, state, scale, bias), on the same axes.
  """
  dtype, full = problem.dtype, 'float32'
  if dtype == 'float64':
    full = 'float64'
  layer = layer.clone(epsilon=EPSILON, dtype=dtype, param_dtype=full)
  shape = np.moveaxis(np.empty(problem.shape), -1, problem.axis).shape
  with jax.enable_x64(full == 'float64'):
    x = jnp.asarray(reference.normal(shape, problem.seed, 2, 3), dtype)
    cotangent = jnp.asarray(reference.normal(shape, problem.seed + 1), full)
    variables = reference.randomized(layer, x, problem.seed)
    y, after, (params, gradient) = program(layer, variables, x, cotangent)
  assert y.dtype == gradient.dtype == dtype

  scale, bias = (
    tensor(variables['params'][key], full).requires_grad_()
    if key in variables['params']
    else None
    for key in ('scale', 'bias')
  )
  state = {
    key: tensor(value, full)
    for key, value in variables.get('batch_stats', {}).items()
  }
  input_ = tensor(x, dtype).requires_grad_()
  desired = function(input_, state, scale, bias)
  (desired.to(getattr(torch, full)) * tensor(cotangent, full)).sum().backward()

  def assert_close(actual, desired, precision=reference.PRECISION[dtype]):
    reference.assert_precise(actual, array(desired), precision)

  assert_close(y, desired)
  assert_close(gradient, input_.grad)
  assert_close(params['scale'], scale.grad)
  if bias is not None:
    assert_close(params['bias'], bias.grad)
  for key, value in state.items():
    # Of half precision too, and in float32 also for float64.
    assert_close(after['batch_stats'][key], value, 1e-5)


@pytest.mark.parametrize('training', [True, False])
@DRAWN
@hypothesis.given(problem=problems())
def test_batch_norm_is_alike(training, problem):
  # Frozen, a training call is inference. The running statistics are float32,
  # and so with them is what float64 is divided by.
  if not training and problem.dtype == 'float64':
    problem = dataclasses.replace(problem, dtype='float32')
  # Their momentum is the share of the new value, their variance the unbiased.
  layer = norms.BatchNorm(
    axis=problem.axis, momentum=0.9, unbiased=True, frozen=not training
  )

  def function(x, state, scale, bias):
    state = state['mean'], state['var']
    return functional.batch_norm(
      x, *state, scale, bias, training, 1 - 0.9, EPSILON
    )

  assert_equal_torch(problem, layer, features_second(function, problem.axis))


@DRAWN
@hypothesis.given(problem=problems())
def test_layer_norm_is_alike(problem):
  axes = problem.last_axes
  layer = norms.LayerNorm(reduction_axes=axes, feature_axes=axes)

  def function(x, state, scale, bias):
    return functional.layer_norm(
      x, x.shape[-problem.last :], scale, bias, EPSILON
    )

  problem = dataclasses.replace(problem, axis=-1)
  assert_equal_torch(problem, layer, function)


@DRAWN
@hypothesis.given(problem=problems())
def test_rms_norm_is_alike(problem):
  axes = problem.last_axes
  layer = norms.RMSNorm(reduction_axes=axes, feature_axes=axes)

  def function(x, state, scale, bias):
    assert bias is None
    y = functional.rms_norm(
      x.to(scale.dtype), x.shape[-problem.last :], scale, EPSILON
    )
    return y.to(x.dtype)

  problem = dataclasses.replace(problem, axis=-1)
  assert_equal_torch(problem, layer, function)


@DRAWN
@hypothesis.given(problem=problems())
def test_group_norm_is_alike(problem):
  layer = norms.GroupNorm(problem.groups)

  def function(x, state, scale, bias):
    return functional.group_norm(x, problem.groups, scale, bias, EPSILON)

  problem = dataclasses.replace(problem, axis=-1)
  assert_equal_torch(problem, layer, features_second(function))


@DRAWN
@hypothesis.given(problem=problems())
def test_instance_norm_is_alike(problem):
  hypothesis.assume(len(problem.shape) > 2)  # They refuse vectors.
  layer = norms.InstanceNorm(feature_axes=problem.axis)

  def function(x, state, scale, bias):
    return functional.instance_norm(x, weight=scale, bias=bias, eps=EPSILON)

  assert_equal_torch(problem, layer, features_second(function, problem.axis))


def test_averages_of_all_updates_are_alike():
  layer = norms.BatchNorm(momentum=None, unbiased=True)
  theirs = torch.nn.BatchNorm2d(4, momentum=None)
  variables = layer.init(jax.random.key(0), np.ones((3, 2, 5, 4)), False)
  for seed in range(4):
    x = reference.normal((3, 2, 5, 4), seed, mean=seed, std=1 + seed)
    _, variables = reference.train(layer, variables, x)
    features_second(theirs)(torch.tensor(x))
    state = variables['batch_stats']
    for ours, other in (
      ('mean', theirs.running_mean),
      ('var', theirs.running_var),
    ):
      np.testing.assert_allclose(state[ours], other, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(state['updates'], theirs.num_batches_tracked)
