"""Drift of the norms' scales from 1 and of their biases from 0.

These are where they start. The arrays of a parameter, such as
'drift/layer1/norm/scale', float32 scalars:

  drift          the mean of |parameter - start|
  largest_drift  its maximum

Scales of normalized kernels (weight norm) are among them, biases of
convolutions and dense layers are not.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from normlab.probes import parameters
from normlab.program import training_step


def measure(
  run: Any, state: training_step.TrainState, step: int
) -> dict[str, jax.Array]:
  """The arrays of the module's table; none where no norm has parameters."""
  del run, step
  return _drifts(state.params)


def problem(model: nn.Module, variables: Any) -> str | None:
  """Says so where no norm has a scale or a bias."""
  del model
  if parameters.affine(variables['params']):
    return None
  return 'no norm of the network has a scale or a bias'


@jax.jit
def _drifts(params: training_step.Params) -> dict[str, jax.Array]:
  drifts = {}
  for path, value in parameters.affine(params).items():
    start = parameters.STARTS[path.split('/')[-1]]
    drift = jnp.abs(value.astype(jnp.float32) - start)
    drifts[f'drift/{path}'] = drift.mean()
    drifts[f'largest_drift/{path}'] = drift.max()
  return drifts
