"""Corrections of BatchRenorm: r and d of the coming step, per layer.

With the statistics of the batch, the running ones, and the limits of this step
(arXiv:1702.03275, Algorithm 1). The arrays of a layer, such as
'mean_r/layer1/norm', float32 scalars over its channels and microbatches:

  mean_r, smallest_r, largest_r             within the limits, as training has
  mean_absolute_d, smallest_d, largest_d    them; the mean of d would cancel
  clipped_r, clipped_d                      the share that the limits changed

With the limits r_max = 1 and d_max = 0, as at first in the paper's schedule,
everything is clipped: the layer is BatchNorm.
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
from normlab.norms.trained import inference
from normlab.probes import forward
from normlab.program import training_step
from normlab.program.programs import Program


def measure(
  run: Any, state: training_step.TrainState, step: int
) -> dict[str, jax.Array]:
  """The arrays of the module's table."""
  return _corrections(**forward.inputs(run, state, step))


def problem(model: nn.Module, variables: Any) -> str | None:
  """Says so where no layer is a BatchRenorm, the norm with a running `std`."""
  del model
  paths = training_step.named_leaves(variables.get('batch_stats', {}))
  if any(path.split('/')[-1] == 'std' for path, _ in paths):
    return None
  return "the network has no BatchRenorm; norm.name='batch_renorm' is one"


@functools.partial(jax.jit, static_argnames='program')
def _corrections(*, program: Program, **arguments: Any) -> forward.Seen:
  found = forward.seen(corrections, program=program, **arguments)
  values = {}
  for path, pairs in found.items():
    (free_r, free_d), (r, d) = jnp.moveaxis(pairs, 0, 2)
    summary = {
      'mean_r': r.mean(),
      'smallest_r': r.min(),
      'largest_r': r.max(),
      'clipped_r': (r != free_r).mean(),
      'mean_absolute_d': jnp.abs(d).mean(),
      'smallest_d': d.min(),
      'largest_d': d.max(),
      'clipped_d': (d != free_d).mean(),
    }
    values |= {f'{name}/{path}': value for name, value in summary.items()}
  return values


@contextlib.contextmanager
def corrections(model: nn.Module, found: forward.Seen) -> Iterator[nn.Module]:
  """Finds r and d by the path of the layer, first free and then clipped.

  As an array [2, 2, channels].
  """

  def follow(
    layer: nn.Module, call: Any, *args: Any, mask: Any = None, **kwargs: Any
  ) -> Any:
    if isinstance(layer, norms.BatchRenorm):
      batch = inference.batch_statistics(layer, args[0], mask)
      # The running ones are those before the update, as in the layer.
      running = layer.variables['batch_stats']
      both = layer.corrections(
        batch, running['mean'], running['std'], running['step']
      )
      found['/'.join(layer.path)] = jnp.array(both)
    return call(*args, **kwargs)

  with calls.replaced(follow):
    yield model
