"""r and d of a first layer, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
import small_runs

from normlab.probes import outputs, renorm
from normlab.training import preparation

EPSILON = 1e-5


def ready(mean, std, step=0, **fields):
  """A run whose running statistics are set, and the inputs of its norm."""
  run = small_runs.prepared(norm='batch_renorm', **fields)
  state = preparation.initial_state(run)
  values = {'mean': mean, 'std': std, 'step': step}

  def put(path, leaf):
    return jnp.full_like(leaf, values[path.split('/')[-1]])

  state = state.replace(
    model_state=small_runs.with_leaves(state.model_state, put)
  )
  batch = run.feed.upcoming(0)
  x = np.asarray(run.standardizer.standardize(batch.images), np.float64)
  kernel = np.asarray(state.params['layer1']['dense']['kernel'])
  return run, state, x.reshape(len(x), -1) @ kernel


def expected(z, mean, std, r_max, d_max):
  """The arrays of layer1, of batches of pre-activations and statistics."""
  free_r = np.sqrt(z.var(-2) + EPSILON) / std
  free_d = (z.mean(-2) - mean) / std
  r = np.clip(free_r, 1 / r_max, r_max)
  d = np.clip(free_d, -d_max, d_max)
  return {
    'mean_r': r.mean(),
    'smallest_r': r.min(),
    'largest_r': r.max(),
    'clipped_r': (r != free_r).mean(),
    'mean_absolute_d': np.abs(d).mean(),
    'smallest_d': d.min(),
    'largest_d': d.max(),
    'clipped_d': (d != free_d).mean(),
  }


def assert_is(found, wanted, layer='layer1'):
  for name, value in wanted.items():
    np.testing.assert_allclose(
      found[f'{name}/{layer}/norm'], value, rtol=1e-4, atol=1e-5, err_msg=name
    )


@pytest.mark.parametrize('r_max, d_max', [(1.2, 0.3), (1.0, 0.0), (1e6, 1e6)])
def test_they_are_those_of_the_batch_within_the_limits(r_max, d_max):
  limits = {'norm.r_max': r_max, 'norm.d_max': d_max}
  run, state, z = ready(0.5, 1.5, **limits)
  found = renorm.measure(run, state, 0)
  wanted = expected(z, 0.5, 1.5, r_max, d_max)
  assert_is(found, wanted)
  share = {1.2: (0.2, 0.98), 1.0: (1, 1), 1e6: (0, 0)}[r_max]
  assert share[0] <= wanted['clipped_r'] <= share[1]
  assert len(found) == 2 * len(wanted)


def test_the_limits_are_those_of_the_step_of_the_layer():
  # Halfway up the paper's ramp of r_max, and beyond that of d_max.
  run, state, z = ready(0.5, 0.1, step=22_500)
  found = renorm.measure(run, state, 0)
  assert_is(found, expected(z, 0.5, 0.1, r_max=2.0, d_max=4.375))


def test_a_microbatch_finds_the_running_statistics_of_the_one_before():
  limits = {'norm.r_max': 1e6, 'norm.d_max': 1e6}
  fields = {**limits, 'norm.momentum': 0.75, 'microbatches': 2}
  run, state, z = ready(0.5, 1.5, **fields)
  parts = np.stack([z[::2], z[1::2]])
  first = parts[0]
  means = 0.5, 0.75 * 0.5 + 0.25 * first.mean(0)
  stds = 1.5, 0.75 * 1.5 + 0.25 * np.sqrt(first.var(0) + EPSILON)
  mean, std = (np.stack(np.broadcast_arrays(*both)) for both in (means, stds))
  found = renorm.measure(run, state, 0)
  assert_is(found, expected(parts, mean, std, 1e6, 1e6))


def test_what_is_measured_is_what_the_layer_does():
  run, state, _ = ready(3.0, 0.01, **{'norm.r_max': 1.5, 'norm.d_max': 0.25})
  found = renorm.measure(run, state, 0)
  # The running statistics are far away: every r and d is at its limit.
  for name, limit in (('r', 1.5), ('d', -0.25)):
    for extreme in ('smallest', 'largest'):
      assert found[f'{extreme}_{name}/layer1/norm'] == limit
  after = outputs.measure(run, state, 0)
  np.testing.assert_allclose(after['mean/layer1'], -0.25, rtol=1e-4)
  np.testing.assert_allclose(after['variance/layer1'], 1.5**2, rtol=1e-2)
