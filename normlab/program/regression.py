"""The squared error, and the share of the variance that a network explains.

The counterpart of `metrics` for data sets whose labels are floats. There is no
right or wrong: what stands as 'accuracy' in an evaluation is max(0, R^2), from
0 (no better than the mean of the targets) to 1, so that the best checkpoint,
tables and figures need no case of their own. A training row has the loss alone.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


def is_regression(labels: jax.Array | np.ndarray) -> bool:
  """Whether labels are targets of a regression: floats, and no classes."""
  return jnp.issubdtype(labels.dtype, jnp.floating)


def squared_error(outputs: jax.Array, targets: jax.Array) -> jax.Array:
  """||y - f(x)||^2, the sum over the outputs (arXiv:1805.11604, appendix A).

  Args:
    outputs: [batch, outputs], any precision; computed in float32.
    targets: float32 [batch, outputs].

  Returns:
    float32 [batch].
  """
  return jnp.square(targets - outputs.astype(jnp.float32)).sum(-1)


class RegressionTotals(NamedTuple):
  """Sums over examples, which are added over batches: see `summarize`.

  Attributes:
    loss: float32 [].
    count: int32 [].
    targets: float32 [outputs].
    squares: float32 [outputs], of the targets.
  """

  loss: jax.Array
  count: jax.Array
  targets: jax.Array
  squares: jax.Array


def totals(
  outputs: jax.Array, targets: jax.Array, valid: jax.Array
) -> RegressionTotals:
  """The sums over the valid examples of a batch.

  Args:
    outputs: [batch, outputs], any precision; computed in float32.
    targets: float32 [batch, outputs].
    valid: bool [batch]; False where an example only fills the batch up.
  """
  kept = jnp.where(valid[:, None], targets, 0)
  return RegressionTotals(
    loss=jnp.where(valid, squared_error(outputs, targets), 0).sum(),
    count=valid.sum(),
    targets=kept.sum(0),
    squares=jnp.square(kept).sum(0),
  )


def summarize(sums: RegressionTotals) -> dict[str, float]:
  """The metrics of all examples, from added totals: every example counts once.

  Args:
    sums: of at least one example, on the host. Targets whose mean is 1,000
      times their deviation, or more, have no digit left of their variance.

  Returns:
    'loss', as it is where it is not finite; 'accuracy', max(0, R^2) with
    R^2 = 1 - squared errors / squared deviations of the targets from their
    mean, 0 where the loss is not finite or the targets do not vary.
  """
  loss = float(sums.loss / sums.count)
  deviations = float((sums.squares - sums.targets**2 / sums.count).sum())
  is_defined = np.isfinite(loss) and deviations > 0
  explained = 1 - float(sums.loss) / deviations if is_defined else 0.0
  return {'loss': loss, 'accuracy': max(0.0, explained)}
