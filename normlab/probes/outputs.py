"""Inputs of the activations: how they are distributed, per layer.

For each layer the tensor that goes into its nonlinearity. With a norm in front
that is the norm's output; of a norm that is the activation too it is the norm's
input (EvoNorm), or that of its thresholds (filter response). A residual block
has one of its own: the sum.

The arrays of a layer, such as 'mean/layer3':

  percentiles       [3] 15, 50, 85, over units, examples and positions
  unit_percentiles  [3] the same of unit 0, over examples and positions; the
                    units start alike, so any is typical
  mean, variance    [channels] over examples and positions
  histogram         int32 [130] over all values; its 129 edges are the array
                    'edges', and the first and last bin are open

Figure 1 of arXiv:1502.03167 and figures 2 and 8 of arXiv:1805.11604 are made of
these; changes between steps are taken per channel, and then averaged.
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from normlab import norms
from normlab.norms.core import calls
from normlab.probes import distribution, forward
from normlab.program import training_step
from normlab.program.programs import Program

PERCENTS = (15, 50, 85)


def measure(
  run: Any, state: training_step.TrainState, step: int
) -> dict[str, jax.Array]:
  """The arrays of the module's table, float32 but for the histograms."""
  found = _distributions(**forward.inputs(run, state, step))
  return found | {'edges': jnp.asarray(distribution.EDGES)}


def problem(model: nn.Module, variables: Any) -> str | None:
  """Says so where the activations of a model are out of reach."""
  del variables
  if hasattr(model, 'activation'):
    return None
  return f'model {type(model).__name__} has no field activation'


@functools.partial(jax.jit, static_argnames='program')
def _distributions(*, program: Program, **arguments: Any) -> forward.Seen:
  found = forward.seen(inputs_of_activations, program=program, **arguments)
  return {
    f'{quantity}/{path}': value
    for path, x in found.items()
    for quantity, value in summary(x).items()
  }


def summary(x: jax.Array) -> dict[str, jax.Array]:
  """What the module's table has of a layer's values [..., channels]."""
  x = x.reshape(-1, x.shape[-1]).astype(jnp.float32)
  return {
    'percentiles': distribution.percentiles(x, PERCENTS),
    'unit_percentiles': distribution.percentiles(x[:, 0], PERCENTS),
    'mean': x.mean(0),
    'variance': x.var(0),
    'histogram': distribution.histogram(x),
  }


@contextlib.contextmanager
def inputs_of_activations(
  model: nn.Module, found: forward.Seen
) -> Iterator[nn.Module]:
  """Finds the input of each activation, by the path of its layer.

  Gives the model whose calls are watched.
  """
  inside: list[tuple[str, ...]] = []

  def follow(module: nn.Module, call: Any, *args: Any, **kwargs: Any) -> Any:
    if getattr(module, 'replaces_activation', False):
      found['/'.join(module.path[:-1])] = args[0]
    elif isinstance(module, norms.ThresholdedLinearUnit):
      found['/'.join(module.path[:-2])] = args[0]
    inside.append(module.path)
    try:
      return call(*args, **kwargs)
    finally:
      inside.pop()

  def activation(x: jax.Array) -> jax.Array:
    found['/'.join(inside[-1])] = x
    return model.activation(x)

  with calls.replaced(follow):
    yield model.clone(activation=activation)
