"""Loss, accuracy, calibration: per example to the last line, then one mean.

Of classes; where labels are floats, each function is that of `regression`.
Training takes the mean of a batch in `training_step.training_metrics`.
Own metrics are functions of logits and labels, [batch], and names of columns.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from normlab import errors, own_code
from normlab.program import regression
from normlab.program.regression import RegressionTotals

# Bins of the confidence for the calibration error: arXiv:1706.04599, Table 1.
BINS = 15

# Name of a column and what it is the mean of: (logits, labels) -> [batch].
OwnMetrics = tuple[tuple[str, Callable[..., jax.Array]], ...]
# Columns of a row, which no metric of one's own can have.
TAKEN = (
  *('step', 'split', 'loss', 'accuracy', 'ece', 'class_accuracy'),
  *('learning_rate', 'gradient_norm', 'parameter_norm'),
)


def find_metrics(paths: Iterable[str]) -> OwnMetrics:
  """Own metrics by their import paths; each names its column.

  Raises:
    errors.ConfigError: an import that fails, or a column that is taken.
  """
  found: dict[str, Callable[..., jax.Array]] = {}
  for path in paths:
    function = own_code.function('metric', path)
    name = path.rpartition(':')[2].rpartition('.')[2]
    if name in (*TAKEN, *found):
      raise errors.ConfigError(
        f'metric {path!r}: there is a column {name!r} already; rename it'
      )
    found[name] = function
  return tuple(found.items())


def own_per_example(
  own: OwnMetrics, logits: jax.Array, labels: jax.Array
) -> dict[str, jax.Array]:
  """The values of own metrics, float32 [batch]."""
  return {
    name: jnp.asarray(function(logits, labels), jnp.float32)
    for name, function in own
  }


class WithOwn(NamedTuple):
  """Totals, and the sums of own metrics.

  Attributes:
    sums: of a data set of classes, or of a regression.
    own: float32 [], by the name of the metric.
    count: int32 [], examples.
  """

  sums: Any
  own: dict[str, jax.Array]
  count: jax.Array


def per_example(logits: jax.Array, labels: jax.Array) -> dict[str, jax.Array]:
  """Cross-entropy in nats, and whether the prediction is right (0 or 1).

  Args:
    logits: [batch, classes], any precision; computed in float32.
    labels: int32 [batch].

  Returns:
    'loss' and 'accuracy', float32 [batch]; of a regression the loss alone.
  """
  if regression.is_regression(labels):
    return {'loss': regression.squared_error(logits, labels)}
  logits = logits.astype(jnp.float32)
  loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  correct = jnp.argmax(logits, axis=-1) == labels
  # NaN logits have an argmax too; a network that is broken is never right.
  correct &= jnp.isfinite(loss)
  return {'loss': loss, 'accuracy': correct.astype(jnp.float32)}


def smoothed(
  loss: jax.Array, logits: jax.Array, share: float | jax.Array
) -> jax.Array:
  """(1 - share) * loss + share * mean over the classes k of -log p(k).

  The cross-entropy with a target that has a share of it spread over all classes
  (label smoothing, Szegedy et al. 2015, arXiv:1512.00567, section 7).

  Args:
    loss: the cross-entropy of each example, float32 [batch].
    logits: [batch, classes], any precision; computed in float32.
    share: from 0 to 1.
  """
  logits = logits.astype(jnp.float32)
  spread = jax.nn.logsumexp(logits, axis=-1) - logits.mean(-1)
  return (1 - share) * loss + share * spread


def confidence(logits: jax.Array) -> jax.Array:
  """Probability of the predicted class, the largest of the softmax.

  Args:
    logits: [batch, classes], any precision; computed in float32.

  Returns:
    float32 [batch]; NaN where a logit is NaN or inf, or all are -inf.
  """
  logits = logits.astype(jnp.float32)
  return jnp.exp(logits.max(-1) - jax.nn.logsumexp(logits, axis=-1))


class Totals(NamedTuple):
  """Sums over examples, which are added over batches: see `summarize`.

  Attributes:
    loss: float32 [], in nats.
    class_right: int32 [classes], right predictions by label.
    class_count: int32 [classes], examples by label.
    bin_confidence: float32 [BINS], by confidence in (0, 1], of equal width.
    bin_right: int32 [BINS].
    bin_count: int32 [BINS]; examples without a confidence (NaN) are in no bin.
  """

  loss: jax.Array
  class_right: jax.Array
  class_count: jax.Array
  bin_confidence: jax.Array
  bin_right: jax.Array
  bin_count: jax.Array


def totals(
  logits: jax.Array,
  labels: jax.Array,
  valid: jax.Array,
  own: OwnMetrics = (),
) -> Totals | RegressionTotals | WithOwn:
  """The sums over the valid examples of a batch.

  Args:
    logits: [batch, classes], any precision; computed in float32.
    labels: int32 [batch].
    valid: bool [batch]; False where an example only fills the batch up.
    own: further metrics.
  """
  if own:
    values = own_per_example(own, logits, labels)
    kept = {name: jnp.where(valid, v, 0).sum() for name, v in values.items()}
    return WithOwn(totals(logits, labels, valid), kept, valid.sum())
  if regression.is_regression(labels):
    return regression.totals(logits, labels, valid)
  values, certain = per_example(logits, labels), confidence(logits)
  right = values['accuracy'] > 0
  bins = jnp.clip(jnp.ceil(certain * BINS), 1, BINS) - 1
  # Members as a table, and not a scatter, whose sums of floats have no fixed
  # order on a GPU.
  in_class = valid[:, None] & (labels[:, None] == jnp.arange(logits.shape[-1]))
  in_bin = valid[:, None] & (bins[:, None] == jnp.arange(BINS))
  return Totals(
    loss=jnp.where(valid, values['loss'], 0).sum(),
    class_right=(in_class & right[:, None]).sum(0),
    class_count=in_class.sum(0),
    bin_confidence=jnp.where(in_bin, certain[:, None], 0).sum(0),
    bin_right=(in_bin & right[:, None]).sum(0),
    bin_count=in_bin.sum(0),
  )


def summarize(
  sums: Totals | RegressionTotals | WithOwn,
) -> dict[str, float | list[float | None]]:
  """The metrics of all examples, from added totals: every example counts once.

  Args:
    sums: of at least one example, on the host.

  Returns:
    'loss', as it is where it is not finite; 'accuracy';
    'ece', the expected calibration error (Guo et al. 2017, arXiv:1706.04599,
    eq. 3): sum over bins of |right - confidence| / examples, NaN where an
    example has no confidence, as the error would leave out the worst;
    'class_accuracy', one per class, None for a class without examples.
    Of a regression only the first two. Then the means of own metrics.
  """
  if isinstance(sums, WithOwn):
    means = {name: float(v / sums.count) for name, v in sums.own.items()}
    return summarize(sums.sums) | means
  if isinstance(sums, RegressionTotals):
    return regression.summarize(sums)
  count = sums.class_count.sum()
  gaps = abs(sums.bin_right - sums.bin_confidence)
  complete = sums.bin_count.sum() == count
  return {
    'loss': float(sums.loss / count),
    'accuracy': float(sums.class_right.sum() / count),
    'ece': float(gaps.sum() / count) if complete else math.nan,
    'class_accuracy': [
      float(right / number) if number else None
      for right, number in zip(sums.class_right, sums.class_count, strict=True)
    ],
  }
