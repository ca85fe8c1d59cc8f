import functools

import jax
import jax.numpy as jnp
import norms_reference as reference
import numpy as np
import pytest

from normlab.norms import PAPER_D_MAX, PAPER_R_MAX, BatchNorm, BatchRenorm, Ramp

SHAPE = (4, 2, 3)
AXES = (0, 1)


def started(layer, x, **state):
  """Variables with the given entries of the state."""
  variables = reference.randomized(layer, x)
  stats = {
    key: jnp.asarray(state.get(key, value), value.dtype)
    for key, value in variables['batch_stats'].items()
  }
  return {**variables, 'batch_stats': stats}


class Algorithm1:
  """arXiv:1702.03275 in float64, with a running mean and std of its own."""

  def __init__(self, variables, *, r_max, d_max, epsilon, momentum):
    stats, params = variables['batch_stats'], variables['params']
    self.mean, self.std = (
      np.asarray(stats[key], np.float64) for key in ('mean', 'std')
    )
    self.scale, self.bias = params['scale'], params['bias']
    self.r_max, self.d_max, self.epsilon = r_max, d_max, epsilon
    self.alpha = 1 - momentum

  def corrections(self, x):
    """Mean and std of the batch, and r and d before they are clipped."""
    mean, var, _ = reference.moments(x, AXES)
    std = np.sqrt(var + self.epsilon)
    return mean, std, std / self.std, (mean - self.mean) / self.std

  def train(self, x):
    mean, std, r, d = self.corrections(x)
    r = np.clip(r, 1 / self.r_max, self.r_max)
    d = np.clip(d, -self.d_max, self.d_max)
    x_hat = (x - mean) / std * r + d
    self.mean = self.mean + self.alpha * (mean.squeeze(AXES) - self.mean)
    self.std = self.std + self.alpha * (std.squeeze(AXES) - self.std)
    return x_hat * self.scale + self.bias


def test_steps_are_algorithm_1():
  limits = {'r_max': 1.5, 'd_max': 0.6, 'epsilon': 1e-2, 'momentum': 0.8}
  layer = BatchRenorm(**limits)
  batches = [reference.normal(SHAPE, s, mean=s % 2, std=1.5) for s in range(5)]
  variables = reference.randomized(layer, batches[0])
  algorithm = Algorithm1(variables, **limits)
  clipped = []
  for step, x in enumerate(batches):
    _, _, r, d = algorithm.corrections(x)
    clipped += [abs(np.log(r)) > np.log(1.5), abs(d) > 0.6]
    desired = algorithm.train(x)
    y, variables = reference.train(layer, variables, x)
    np.testing.assert_allclose(y, desired, rtol=1e-4, atol=1e-5)
    stats = variables['batch_stats']
    np.testing.assert_allclose(
      stats['mean'], algorithm.mean, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(stats['std'], algorithm.std, rtol=1e-5)
    assert stats['step'] == step + 1
  # Both limits bind for some, and not for all.
  for hits in (np.array(clipped[::2]), np.array(clipped[1::2])):
    assert hits.any()
    assert not hits.all()


def test_without_corrections_it_is_batch_norm_over_several_steps():
  renorm = BatchRenorm(r_max=1.0, d_max=0.0, momentum=0.7)
  batch = BatchNorm(momentum=0.7)
  x = reference.normal(SHAPE)
  variables = reference.randomized(renorm, x)
  desired_variables = {
    **reference.randomized(batch, x),
    'params': variables['params'],
  }
  cotangent = reference.normal(SHAPE, seed=9)
  for seed in range(3):
    x = reference.normal(SHAPE, seed, mean=seed)
    gradients, desired_gradients = (
      reference.gradients(layer, state, x, cotangent)
      for layer, state in ((renorm, variables), (batch, desired_variables))
    )
    y, variables = reference.train(renorm, variables, x)
    desired, desired_variables = reference.train(batch, desired_variables, x)
    np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-6)
    reference.assert_trees_close(
      gradients[0], desired_gradients[0], rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(
      gradients[1], desired_gradients[1], rtol=1e-4, atol=1e-5
    )
  np.testing.assert_allclose(
    variables['batch_stats']['mean'],
    desired_variables['batch_stats']['mean']
    + 0.7**3
    * (
      reference.randomized(renorm, x)['batch_stats']['mean']
      - reference.randomized(batch, x)['batch_stats']['mean']
    ),
    rtol=1e-5,
    atol=1e-6,
  )


@pytest.mark.parametrize('r_max, d_max', [(1.2, 0.3), (100.0, 100.0)])
def test_gradients_are_the_papers_backward_formulas(r_max, d_max):
  epsilon = 1e-2
  layer = BatchRenorm(r_max=r_max, d_max=d_max, epsilon=epsilon)
  with jax.enable_x64(True):
    x, g = np.random.default_rng(0).normal(1, 2, (2, *SHAPE))
    variables = reference.randomized(layer, x)
    params, gradient = reference.gradients(layer, variables, x, g)
  algorithm = Algorithm1(
    variables, r_max=r_max, d_max=d_max, epsilon=epsilon, momentum=0.99
  )
  m = x.shape[0] * x.shape[1]
  mean, std, r, d = algorithm.corrections(x)
  assert (np.maximum(r, 1 / r) > r_max).any() == (r_max < 2)
  r = np.clip(r, 1 / r_max, r_max)
  d = np.clip(d, -d_max, d_max)
  total = functools.partial(np.sum, axis=AXES, keepdims=True)
  d_x_hat = g * np.asarray(algorithm.scale, np.float64)
  d_std = total(d_x_hat * (x - mean) * -r / std**2)
  d_mean = total(d_x_hat * -r / std)
  d_x = d_x_hat * r / std + d_std * (x - mean) / (m * std) + d_mean / m
  # r_max is cast to float32, as are the corrections' limits.
  np.testing.assert_allclose(gradient, d_x, rtol=1e-6, atol=1e-8)
  np.testing.assert_allclose(np.sum(np.asarray(gradient), AXES), 0, atol=1e-10)
  x_hat = (x - mean) / std * r + d
  np.testing.assert_allclose(params['scale'], (g * x_hat).sum(AXES), rtol=1e-5)
  np.testing.assert_allclose(params['bias'], g.sum(AXES), rtol=1e-5)


def test_unclipped_training_computes_what_inference_does():
  # The running deviation has epsilon in it: none is added again.
  layer = BatchRenorm(r_max=1e6, d_max=1e6, epsilon=0.1)
  x = reference.normal(SHAPE, mean=2, std=3)
  variables = reference.randomized(layer, x)
  params, stats = variables['params'], variables['batch_stats']
  desired = (x - stats['mean']) / stats['std']
  desired = desired * params['scale'] + params['bias']
  y, _ = reference.train(layer, variables, x)
  np.testing.assert_allclose(y, desired, rtol=1e-4, atol=1e-5)
  y = reference.evaluate(layer, variables, x)
  np.testing.assert_allclose(y, desired, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  'step, r_max, d_max',
  [
    (0, 1, 0),
    (5_000, 1, 0),
    (15_000, 1 + 2 * 10 / 35, 2.5),
    (22_500, 2, 4.375),
    (25_000, 1 + 2 * 20 / 35, 5),
    (40_000, 3, 5),
    (10**7, 3, 5),
  ],
)
def test_schedules_are_the_papers(step, r_max, d_max):
  np.testing.assert_allclose(PAPER_R_MAX(jnp.array(step)), r_max, rtol=1e-6)
  np.testing.assert_allclose(PAPER_D_MAX(jnp.array(step)), d_max, rtol=1e-6)


def test_the_papers_schedules_are_the_default():
  assert BatchRenorm().r_max == PAPER_R_MAX
  assert BatchRenorm().d_max == PAPER_D_MAX
  assert PAPER_R_MAX == Ramp(1.0, 3.0, 5_000, 40_000)


@pytest.mark.parametrize(
  'step, schedule_scale, r_max, d_max',
  [
    (5_000, 1.0, 1, 0),
    (22_500, 1.0, 2, 4.375),
    (225, 0.01, 2, 4.375),
    (400, 0.01, 3, 5),
    (45_000, 2.0, 2, 4.375),
  ],
)
def test_layer_follows_its_schedules(step, schedule_scale, r_max, d_max):
  layer = BatchRenorm(
    schedule_scale=schedule_scale, use_scale=False, use_bias=False
  )
  x = reference.normal(SHAPE, mean=1)
  # So small a running deviation that both limits bind: then the deviation of
  # the output is r_max, and its mean d_max.
  variables = started(layer, x, step=step, mean=[0] * 3, std=[0.01] * 3)
  y, after = reference.train(layer, variables, x)
  np.testing.assert_allclose(np.std(y, AXES), r_max, rtol=1e-4)
  np.testing.assert_allclose(np.mean(y, AXES), d_max, atol=1e-4)
  assert after['batch_stats']['step'] == step + 1


def test_limits_may_be_functions_of_the_step():
  layer = BatchRenorm(
    r_max=lambda step: 1 + step, d_max=lambda step: step, use_bias=False
  )
  x = reference.normal(SHAPE, mean=1)
  variables = started(layer, x, step=4, mean=[0] * 3, std=[0.01] * 3)
  y, _ = reference.train(layer, variables, x)
  scale = variables['params']['scale']
  np.testing.assert_allclose(np.std(y, AXES), 5 * scale, rtol=1e-4)
  np.testing.assert_allclose(np.mean(y, AXES), 4 * scale, rtol=1e-4)


@pytest.mark.parametrize(
  'fields',
  [
    {'r_max': 0.5},
    {'r_max': float('nan')},
    {'d_max': -1.0},
    {'schedule_scale': 0.0},
    {'schedule_scale': -1.0},
  ],
)
def test_bad_limits_are_errors_that_name_the_field(fields):
  ((field, value),) = fields.items()
  with pytest.raises(ValueError, match=f'^BatchRenorm: {field}={value}'):
    BatchRenorm(False, **fields).init(
      jax.random.key(0), np.ones((2, 3), np.float32)
    )


def test_a_constant_channel_stays_finite_over_many_steps():
  # Its running deviation falls to sqrt(epsilon), its r and d to their limits.
  layer = BatchRenorm(momentum=0.1, r_max=3.0, d_max=5.0)
  x = reference.normal(SHAPE)
  x[..., 1] = 7.7
  variables = reference.randomized(layer, x)
  for _ in range(8):
    y, variables = reference.train(layer, variables, x)
    assert np.isfinite(y).all()
  np.testing.assert_allclose(
    variables['batch_stats']['std'][1], 1e-5**0.5, rtol=1e-3
  )
  bias = variables['params']['bias'][1]
  y = reference.evaluate(layer, variables, x)
  np.testing.assert_allclose(y[..., 1], bias, atol=0.01)
  gradients = reference.gradients(layer, variables, x, np.ones_like(x))
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
