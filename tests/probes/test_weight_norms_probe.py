"""Lengths of kernels, and the rates of a schedule over their squares."""

import numpy as np
import pytest
import small_runs

from normlab.probes import parameters, weight_norms
from normlab.training import preparation


@pytest.mark.parametrize('step', [0, 2, 12])
def test_rates_are_those_of_the_coming_step(step):
  run = small_runs.prepared(
    **{
      'optimizer.learning_rate': 0.5,
      'optimizer.learning_rate_multiplier': 2.0,
      'schedule.name': 'step',
      'schedule.boundaries': (2,),
      'schedule.decay_rate': 0.1,
    }
  )
  state = preparation.initial_state(run)
  found = weight_norms.measure(run, state, step)
  rate = 0.1 if step >= 2 else 1.0
  kernels = parameters.kernels(state.params)
  assert len(found) == 2 * len(kernels) == 6
  for path, kernel in kernels.items():
    square = (np.asarray(kernel, np.float64) ** 2).sum()
    np.testing.assert_allclose(found[f'norm/{path}'] ** 2, square, rtol=1e-5)
    np.testing.assert_allclose(
      found[f'effective_rate/{path}'], rate / square, rtol=1e-5
    )
