"""What all probes of a single pass have in common."""

import jax
import numpy as np
import pytest
import small_runs

from normlab import errors, models, norms, probes
from normlab.probes import (
  affine,
  outputs,
  renorm,
  singular_values,
  weight_norms,
)
from normlab.program import training_step
from normlab.training import preparation

NAMES = ('outputs', 'singular_values', 'affine', 'weight_norms', 'renorm')
# Every norm stands in the same blocks: one of each kind in the deep models.
FEW = ('none', 'batch_renorm', 'filter_response', 'evonorm_b0', 'spectral')
PAIRS = [
  *(('mlp', norm) for norm in norms.NORMS),
  *(('cnn', norm) for norm in FEW),
]
# Traces of the deep ones take long: the largest have the simplest norm.
LAYERS = [
  *((model, 'none') for model in models.MODELS),
  ('resnet18', 'batch_renorm'),
  ('resnet18', 'filter_response'),
  ('inception', 'evonorm_b0'),
  ('inception', 'spectral'),
]


def measured(run, state, step=0):
  """The arrays of each probe that finds something."""
  variables = small_runs.variables(state)
  return {
    name: probes.find(name)(run, state, step)
    for name in NAMES
    if probes.check(name, run.program.model, variables) is None
  }


@pytest.mark.parametrize('model, norm', PAIRS)
def test_every_norm_is_measured_and_stays_as_it_is(model, norm):
  run = small_runs.prepared(model, norm, **{'model.dtype': 'bfloat16'})
  state = preparation.initial_state(run)
  before = jax.tree.map(np.array, state)
  found = measured(run, state)
  assert {'outputs', 'singular_values', 'weight_norms'} <= found.keys()
  for name, arrays in found.items():
    assert arrays, name
    for path, value in arrays.items():
      assert np.isfinite(value).all(), (name, path)
      assert value.dtype == ('int32' if 'histogram' in path else 'float32')
  jax.tree.map(np.testing.assert_array_equal, state, before)


@pytest.mark.parametrize(
  'model, norm', [small_runs.slow_if_deep(*pair) for pair in LAYERS]
)
def test_every_model_has_the_layers_that_it_says_it_has(model, norm):
  run = small_runs.prepared(model, norm)
  state = small_runs.abstract_state(run)
  found = jax.eval_shape(lambda state: measured(run, state), state)
  kernels = {
    path
    for path, leaf in training_step.named_leaves(state.params)
    if path.endswith('/kernel') and leaf.ndim >= 2
  }
  assert paths_of(found['weight_norms'], 'norm') == kernels
  assert paths_of(found['singular_values'], 'largest') == kernels
  layers = paths_of(found['outputs'], 'percentiles')
  assert layers and 'logits' not in layers
  owners = {path.rpartition('/')[0].rpartition('/')[0] for path in kernels}
  owners -= {''}  # The classifier, and the depthwise stem.
  if model.startswith('resnet'):
    assert {path for path in layers if path.count('/') == 1} < owners
    assert layers > {'stem', 'stage1_block1', 'stage4_block2'}
  else:
    assert layers == owners
  assert ('renorm' in found) == (norm == 'batch_renorm')


def paths_of(arrays, quantity):
  return {
    name.removeprefix(f'{quantity}/')
    for name in arrays
    if name.startswith(f'{quantity}/')
  }


def test_runs_that_differ_in_numbers_share_what_is_compiled():
  compiled = []
  for seed in (0, 1):
    run = small_runs.prepared(norm='batch_renorm', seed=seed)
    state = preparation.initial_state(run)
    for name in NAMES:
      probes.find(name)(run, state, step=seed)
    compiled.append(programs())
  assert compiled[0] == compiled[1]


def programs():
  return [
    function._cache_size()
    for function in (
      outputs._distributions,
      singular_values._singular_values,
      affine._drifts,
      weight_norms._norms,
      renorm._corrections,
    )
  ]


def test_dropout_and_augmentation_are_off():
  plain = small_runs.prepared(norm='batch')
  state = preparation.initial_state(plain)
  noisy = small_runs.prepared(
    norm='batch', **{'model.dropout': 0.5, 'data.random_crop': 2}
  )
  for name in ('outputs', 'singular_values'):
    measure = probes.find(name)
    jax.tree.map(
      np.testing.assert_array_equal,
      measure(plain, state, 3),
      measure(noisy, state, 3),
    )


def test_devices_that_share_a_batch_measure_what_one_does():
  one, two = (
    small_runs.prepared('cnn', 'batch_renorm', num_devices=count)
    for count in (1, 2)
  )
  for name in NAMES:
    alone, shared = (
      probes.find(name)(run, preparation.initial_state(run), 1)
      for run in (one, two)
    )
    for path, value in alone.items():
      if not path.startswith('histogram'):
        np.testing.assert_allclose(shared[path], value, rtol=1e-4, atol=1e-5)
      else:
        assert np.abs(np.subtract(shared[path], value)).sum() <= 4, path


@pytest.mark.parametrize(
  'name, norm, said',
  [
    ('renorm', 'batch', "probe 'renorm': the network has no BatchRenorm"),
    ('renorm', 'batch_renorm', None),
    ('affine', 'none', "probe 'affine': no norm of the network has a scale"),
    ('affine', 'spectral', "probe 'affine': no norm"),
    ('affine', 'weight', None),
    ('affine', 'layer', None),
    ('outputs', 'none', None),
    ('singular_values', 'none', None),
    ('weight_norms', 'none', None),
  ],
)
def test_a_probe_that_finds_nothing_says_so_from_shapes(name, norm, said):
  run = small_runs.prepared(norm=norm)
  variables = small_runs.variables(small_runs.abstract_state(run))
  problem = probes.check(name, run.program.model, variables)
  assert (problem is None) == (said is None)
  assert said is None or (problem.startswith(said) and '\n' not in problem)


def test_an_unknown_probe_is_refused():
  with pytest.raises(errors.ConfigError, match="did you mean 'outputs'"):
    probes.find('output')
