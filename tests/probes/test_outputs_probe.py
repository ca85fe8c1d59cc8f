"""The inputs of the activations of small networks, computed by hand."""

import jax
import numpy as np
import pytest
import small_runs

from normlab.probes import distribution, outputs
from normlab.training import preparation


def images(run, step=0):
  """The standardized batch of a step, flat: [batch, inputs]."""
  batch = run.feed.upcoming(step)
  x = run.standardizer.standardize(batch.images)
  return np.asarray(x, np.float64).reshape(len(x), -1)


def dense(layer, x):
  return x @ np.asarray(layer['kernel']) + np.asarray(layer.get('bias', 0))


def check(found, layer, x, tolerance=1e-5):
  close = {'rtol': tolerance, 'atol': tolerance}
  for name, values in (('percentiles', x), ('unit_percentiles', x[:, 0])):
    expected = np.percentile(values, (15, 50, 85), method='inverted_cdf')
    np.testing.assert_allclose(found[f'{name}/{layer}'], expected, **close)
  np.testing.assert_allclose(found[f'mean/{layer}'], x.mean(0), **close)
  np.testing.assert_allclose(found[f'variance/{layer}'], x.var(0), **close)
  assert found[f'histogram/{layer}'].sum() == x.size


def state_of(run, seed=0):
  """The first state, with other scales and biases."""
  generator = np.random.default_rng(seed)
  state = preparation.initial_state(run)
  return state.replace(
    params=small_runs.with_leaves(
      state.params,
      lambda path, leaf: (
        leaf
        if leaf.ndim > 1
        else generator.normal(1, 0.5, leaf.shape).astype(leaf.dtype)
      ),
    )
  )


@pytest.mark.parametrize('step', [0, 5])
def test_without_a_norm_they_are_the_outputs_of_the_layers(step):
  run = small_runs.prepared(**{'model.activation': 'sigmoid'})
  state = state_of(run)
  found = outputs.measure(run, state, step)
  first = dense(state.params['layer1']['dense'], images(run, step))
  check(found, 'layer1', first)
  second = dense(state.params['layer2']['dense'], 1 / (1 + np.exp(-first)))
  check(found, 'layer2', second)


def test_with_batch_norm_they_have_its_bias_and_scale():
  run = small_runs.prepared(norm='batch')
  state = state_of(run)
  found = outputs.measure(run, state, 0)
  for layer in ('layer1', 'layer2'):
    norm = state.params[layer]['norm']
    np.testing.assert_allclose(found[f'mean/{layer}'], norm['bias'], atol=1e-5)
    np.testing.assert_allclose(
      found[f'variance/{layer}'], norm['scale'] ** 2, rtol=1e-3
    )


def test_each_microbatch_has_statistics_of_its_own():
  run = small_runs.prepared(norm='batch', microbatches=2)
  state = preparation.initial_state(run)
  z = dense(state.params['layer1']['dense'], images(run))
  for part in (slice(0, None, 2), slice(1, None, 2)):
    z[part] = (z[part] - z[part].mean(0)) / np.sqrt(z[part].var(0) + 1e-5)
  check(outputs.measure(run, state, 0), 'layer1', z, tolerance=1e-4)


def test_of_evonorm_it_is_the_input_as_it_is_the_activation_too():
  run = small_runs.prepared(norm='evonorm_b0')
  state = state_of(run)
  found = outputs.measure(run, state, 0)
  check(found, 'layer1', dense(state.params['layer1']['dense'], images(run)))


@pytest.mark.parametrize('use_tlu', [None, False])
def test_of_filter_response_it_is_what_the_thresholds_or_activation_get(
  use_tlu,
):
  run = small_runs.prepared(norm='filter_response', **{'norm.use_tlu': use_tlu})
  state = state_of(run)
  found = outputs.measure(run, state, 0)
  z = dense(state.params['layer1']['dense'], images(run))
  norm = state.params['layer1']['norm']
  z = z / np.sqrt(z**2 + 1e-6) * np.asarray(norm['scale']) + norm['bias']
  check(found, 'layer1', np.asarray(z), tolerance=1e-4)


def test_in_a_convolution_positions_are_examples():
  run = small_runs.prepared('cnn')
  found = outputs.measure(run, preparation.initial_state(run), 0)
  assert found['mean/layer1'].shape == (8,)
  assert found['histogram/layer1'].sum() == 8 * 8 * 8 * 8
  assert found['histogram/layer2'].sum() == 8 * 4 * 4 * 4


def test_a_residual_block_has_the_sum():
  run = small_runs.prepared('resnet18')
  state = small_runs.abstract_state(run)
  found = jax.eval_shape(lambda state: outputs.measure(run, state, 0), state)
  layers = {n.split('/', 1)[1] for n in found if n.startswith('mean/stage1')}
  # Behind the second layer of a block there is no activation.
  assert layers == {
    'stage1_block1',
    'stage1_block1/layer1',
    'stage1_block2',
    'stage1_block2/layer1',
  }


def test_the_edges_are_given_with_the_counts():
  run = small_runs.prepared()
  found = outputs.measure(run, preparation.initial_state(run), 0)
  assert len(found['histogram/layer1']) == len(found['edges']) + 1
  np.testing.assert_array_equal(found['edges'], distribution.EDGES)
