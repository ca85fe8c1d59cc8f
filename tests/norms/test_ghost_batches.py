"""Ghost batches (arXiv:1705.08741): BatchNorm of slices of the batch."""

import jax
import norms_reference as reference
import numpy as np
import pytest

from normlab.norms import BatchNorm

SHAPE = (6, 2, 3)
AXES = (0, 1)
X = reference.normal(SHAPE, mean=1, std=2)


def assert_equal_slices(layer, plain, mask=None):
  """Compares outputs, gradients and state with those of each slice alone."""
  variables = reference.randomized(plain, X)
  cotangent = reference.normal(SHAPE, seed=9)
  y, after = reference.train(layer, variables, X, mask=mask)
  params, gradient = reference.gradients(
    layer, variables, X, cotangent, mask=mask
  )
  parts = []
  for start in range(0, len(X), layer.ghost_batch_size):
    part = slice(start, start + layer.ghost_batch_size)
    kept = None if mask is None else mask[part]
    desired, state = reference.train(plain, variables, X[part], mask=kept)
    np.testing.assert_allclose(y[part], desired, rtol=1e-5, atol=1e-5)
    desired, desired_gradient = reference.gradients(
      plain, variables, X[part], cotangent[part], mask=kept
    )
    np.testing.assert_allclose(
      gradient[part], desired_gradient, rtol=1e-4, atol=1e-5
    )
    parts.append((desired, state['batch_stats']))
  total = jax.tree.map(lambda *parts: sum(parts), *(p for p, _ in parts))
  reference.assert_trees_close(params, total, rtol=1e-4, atol=1e-5)
  return after['batch_stats'], [state for _, state in parts]


@pytest.mark.parametrize('size', [2, 3])
def test_each_ghost_batch_is_normalized_as_if_alone(size):
  after, parts = assert_equal_slices(
    BatchNorm(momentum=0.5, ghost_batch_size=size), BatchNorm(momentum=0.5)
  )
  # The momentum is the same for all: the average of where each would lead. The
  # variance between slices is not in it.
  average = jax.tree.map(lambda *parts: np.mean(parts, 0), *parts)
  reference.assert_trees_close(dict(after), average, rtol=1e-5, atol=1e-6)


def test_masked_ghost_batches_weigh_by_their_counts():
  mask = reference.normal(SHAPE, seed=1) > 0.3
  mask[:3, :, 0] = False  # All that one ghost batch has in a channel.
  mask[..., 1] = False  # A channel without any value.
  after, _ = assert_equal_slices(
    BatchNorm(momentum=0.5, ghost_batch_size=3),
    BatchNorm(momentum=0.5),
    mask=mask,
  )
  before = reference.randomized(BatchNorm(), X)['batch_stats']
  *statistics, counts = (
    value.squeeze((1, 2))
    for value in reference.moments(
      X.reshape(2, 3, 2, 3), (1, 2), mask.reshape(2, 3, 2, 3)
    )
  )
  for key, values in zip(('mean', 'var'), statistics, strict=True):
    for channel, weights in enumerate(counts.T):
      desired = before[key][channel]
      if weights.any():
        average = np.average(values[:, channel], weights=weights)
        desired = 0.5 * desired + 0.5 * average
      np.testing.assert_allclose(after[key][channel], desired, rtol=1e-5)


def test_one_ghost_batch_is_the_batch():
  layer = BatchNorm(momentum=0.5)
  variables = reference.randomized(layer, X)
  y, after = reference.train(layer.clone(ghost_batch_size=len(X)), variables, X)
  desired, desired_after = reference.train(layer, variables, X)
  np.testing.assert_allclose(y, desired, rtol=1e-5, atol=1e-6)
  reference.assert_trees_close(after, desired_after, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('size', [0, -2, 4, 12])
def test_ghost_batches_that_do_not_divide_the_batch_are_an_error(size):
  layer = BatchNorm(ghost_batch_size=size)
  pattern = f'^BatchNorm: ghost_batch_size={size} must divide the batch, 6 '
  with pytest.raises(ValueError, match=pattern):
    reference.training(layer, reference.randomized(BatchNorm(), X), X)


@pytest.mark.parametrize('fields', [{'axis': 0}, {'axis_name': 'devices'}])
def test_what_ghost_batches_exclude_is_an_error_that_names_it(fields):
  ((field, value),) = fields.items()
  layer = BatchNorm(False, ghost_batch_size=2, **fields)
  pattern = f'^BatchNorm: ghost_batch_size=2 .* {field}={value!r}'
  with pytest.raises(ValueError, match=pattern):
    layer.init(jax.random.key(0), X)


def test_inference_knows_no_ghost_batches():
  layer = BatchNorm(ghost_batch_size=4)  # Does not divide the 6 examples.
  variables = reference.randomized(BatchNorm(), X)
  np.testing.assert_array_equal(
    reference.evaluate(layer, variables, X),
    reference.evaluate(BatchNorm(), variables, X),
  )
