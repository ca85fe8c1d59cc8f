"""What each norm does not see: table 1 of arXiv:1607.06450, cell by cell.

Of norm(x @ w), with x [cases, inputs] and w [inputs, units]. The table holds
for epsilon = 0; where it says no, the output must change indeed.
"""

import functools

import hypothesis
import jax
import norms_reference as reference
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import strategies as st

from normlab import norms

YES, NO = True, False
PLAIN = {'epsilon': 0.0, 'use_scale': False, 'use_bias': False}
DENSE = nn.Dense(4, use_bias=False)

CHANGES = {
  # By a factor, or by the same vector for all units.
  'weights rescaled': lambda w, x, a, v: (a * w, x),
  'weights recentred': lambda w, x, a, v: (w + v[:, None], x),
  'one unit rescaled': lambda w, x, a, v: (w * np.array([1, a, 1, 1]), x),
  'data rescaled': lambda w, x, a, v: (w, a * x),
  'data recentred': lambda w, x, a, v: (w, x + v),
  'one case rescaled': lambda w, x, a, v: (
    w,
    x * np.array([1, 1, a, 1, 1, 1])[:, None],
  ),
}
PAPER = [
  (norms.BatchNorm(**PLAIN), [YES, NO, YES, YES, YES, NO]),
  (norms.WeightNorm(DENSE, epsilon=0.0), [YES, NO, YES, NO, NO, NO]),
  (norms.LayerNorm(**PLAIN), [YES, YES, NO, YES, NO, YES]),
  # Of arXiv:1910.07467.
  (norms.RMSNorm(**PLAIN), [YES, NO, NO, YES, NO, YES]),
]
# What follows for others.
DERIVED = [
  (norms.BatchRenorm(**PLAIN), [YES, NO, YES, YES, YES, NO]),
  (norms.LpBatchNorm(**PLAIN), [YES, NO, YES, YES, YES, NO]),
  (norms.MeanOnlyBatchNorm(use_bias=False), [NO, NO, NO, NO, YES, NO]),
  (norms.GroupNorm(1, **PLAIN), [YES, YES, NO, YES, NO, YES]),
  (norms.SpectralNorm(DENSE), [YES, NO, NO, NO, NO, NO]),
  (
    norms.WeightStandardization(DENSE, epsilon=0.0),
    [YES, NO, YES, NO, NO, NO],
  ),
]


@functools.partial(jax.jit, static_argnums=0)
def output(norm, w, x):
  """norm(x @ w), in training."""
  if isinstance(norm, norms.KernelNorm):
    variables = norm.init(jax.random.key(0), x, update_stats=False)
    params = {**variables['params'], 'layer_instance': {'kernel': w}}
    variables = {**variables, 'params': params}
    return norm.apply(variables, x, update_stats=False)
  y = x @ w
  variables = norm.init(jax.random.key(0), y, False)
  return reference.training(norm, variables, y)[0]


@pytest.mark.parametrize(
  'norm, cells',
  [
    pytest.param(norm, cells, id=f'{type(norm).__name__}-{i}')
    for i, (norm, cells) in enumerate(PAPER + DERIVED)
  ],
)
@reference.FEW
@hypothesis.given(seed=st.integers(0, 99), a=st.sampled_from([0.2, 3.0, 50.0]))
def test_invariances_are_those_of_the_table(norm, cells, seed, a):
  w, x, v = (
    reference.normal(shape, seed + i)
    for i, shape in enumerate([(5, 4), (6, 5), (5,)])
  )
  y = output(norm, w, x)
  for (change, changed), invariant in zip(CHANGES.items(), cells, strict=True):
    other = output(norm, *map(np.float32, changed(w, x, a, v)))
    difference = abs(other - y).max()
    if invariant:
      assert difference < 1e-3, change
    else:
      assert difference > 0.05, change
