"""Drifts of scales and biases that are known."""

import numpy as np
import pytest
import small_runs

from normlab.probes import affine
from normlab.training import preparation


def test_drifts_are_distances_from_one_and_zero():
  run = small_runs.prepared(norm='batch')
  state = preparation.initial_state(run)
  assert not any(map(np.any, affine.measure(run, state, 0).values()))

  def moved(path, leaf):
    if path == 'layer2/norm/scale':
      return np.array([1.5, 0.5, 1, -2], np.float32)
    if path == 'layer1/norm/bias':
      return np.arange(8, dtype=np.float32) - 1
    return leaf

  state = state.replace(params=small_runs.with_leaves(state.params, moved))
  found = affine.measure(run, state, 0)
  assert {name: float(x) for name, x in found.items() if x} == {
    'drift/layer2/norm/scale': 1.0,
    'largest_drift/layer2/norm/scale': 3.0,
    'drift/layer1/norm/bias': (1 + 0 + 1 + 2 + 3 + 4 + 5 + 6) / 8,
    'largest_drift/layer1/norm/bias': 6.0,
  }


@pytest.mark.parametrize(
  'norm, fields, names',
  [
    ('batch', {}, {'norm/scale', 'norm/bias'}),
    ('batch', {'norm.use_scale': False}, {'norm/bias'}),
    ('rms', {'norm.use_scale': False}, set()),
    ('none', {}, set()),
    ('weight', {}, {'kernel_norm/dense/kernel/scale'}),
  ],
)
def test_norms_have_drifts_of_what_they_have(norm, fields, names):
  run = small_runs.prepared(norm=norm, **fields)
  found = affine.measure(run, preparation.initial_state(run), 0)
  layers = 'layer1', 'layer2'
  assert {name for name in found if name.startswith('drift/')} == {
    f'drift/{layer}/{name}' for layer in layers for name in names
  }
