"""Loss and accuracy: per example until the last line, then one mean."""

import jax
import jax.numpy as jnp
import optax


def per_example(logits: jax.Array, labels: jax.Array) -> dict[str, jax.Array]:
  """Cross-entropy in nats, and whether the prediction is right (0 or 1).

  Args:
    logits: [batch, classes], any precision; computed in float32.
    labels: int32 [batch].

  Returns:
    'loss' and 'accuracy', float32 [batch].
  """
  logits = logits.astype(jnp.float32)
  loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  correct = jnp.argmax(logits, axis=-1) == labels
  # NaN logits have an argmax too; a network that is broken is never right.
  correct &= jnp.isfinite(loss)
  return {'loss': loss, 'accuracy': correct.astype(jnp.float32)}


def mean(values: dict[str, jax.Array]) -> dict[str, jax.Array]:
  """Mean of each metric over the examples."""
  return {name: value.mean() for name, value in values.items()}


def totals(
  values: dict[str, jax.Array], valid: jax.Array
) -> dict[str, jax.Array]:
  """Sums over the valid examples, and 'count', to be added over batches."""
  sums = {
    name: jnp.where(valid, value, 0).sum() for name, value in values.items()
  }
  return {**sums, 'count': valid.sum()}


def divide_totals(sums: dict[str, jax.Array]) -> dict[str, float]:
  """Means from added totals: every example counts once."""
  count = float(sums['count'])
  return {
    name: float(value) / count
    for name, value in sums.items()
    if name != 'count'
  }
