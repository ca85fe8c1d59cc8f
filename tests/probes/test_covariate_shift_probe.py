import jax
import numpy as np
import pytest
from flax import linen as nn
from probed_runs import CLASSES, examples, initial, prepared

from normlab import models, norms
from normlab.probes import covariate_shift, precise, subject

RATE, MOMENTUM = 0.5, 0.9


class TwoLinearLayers(nn.Module):
  """Logits = x A B."""

  dropout: float = 0.0

  @nn.compact
  def __call__(self, x, *, train):
    x = x.reshape(len(x), -1)
    for width, name in ((4, 'first'), (CLASSES, 'second')):
      x = nn.Dense(width, use_bias=False, name=name)(x)
    return x


def closed_form(a, b, velocity, x, labels):
  """The shift of the second layer, in float64.

  With P = softmax(x A B) - one_hot, dL/dA = x' P B' / n, dL/dB = (x A)' P / n.
  """

  def errors(a):
    logits = x @ a @ b
    p = np.exp(logits - logits.max(1, keepdims=True))
    return (p / p.sum(1, keepdims=True) - np.eye(CLASSES)[labels]) / len(x)

  moved = a - RATE * (x.T @ errors(a) @ b.T + MOMENTUM * velocity)
  before, after = ((x @ w).T @ errors(w) for w in (a, moved))
  cosine = (before * after).sum()
  cosine /= np.linalg.norm(before) * np.linalg.norm(after)
  return np.linalg.norm(before - after), cosine


def test_two_linear_layers_have_the_closed_form():
  run = prepared(TwoLinearLayers(), rate=RATE, momentum=np.float32(MOMENTUM))
  state = initial(run)
  # The optimizer's velocity takes part in the update.
  velocity = jax.tree.map(lambda p: 0.1 * p[::-1], state.params)
  state = state.replace(
    opt_state=jax.tree.map(
      lambda _, v: v, state.opt_state, _like(state.opt_state, velocity)
    )
  )
  found = covariate_shift.measure(run, state, 0)
  batch = run.feed.upcoming(0)
  x = np.asarray(run.standardizer.standardize(batch.images), np.float64)
  kernels = [
    np.asarray(tree[name]['kernel'], np.float64)
    for tree, name in (
      (state.params, 'first'),
      (state.params, 'second'),
      (velocity, 'first'),
    )
  ]
  expected = closed_form(*kernels, x.reshape(len(x), -1), batch.labels)
  assert expected[1] < 0.99
  got = found['difference/second'], found['cosine/second']
  np.testing.assert_allclose(got, expected, rtol=1e-4)


def _like(opt_state, velocity):
  """The optimizer's state, with this velocity."""
  leaves = jax.tree.leaves(velocity)
  return jax.tree.unflatten(jax.tree.structure(opt_state), leaves)


def mlp(norm, **fields):
  extra = {'num_groups': 1} if norm in ('group', 'evonorm_s0') else {}
  hooks = norms.build(name=norm, **extra)
  return models.build(
    'mlp', num_classes=CLASSES, widths=(6, 4), **hooks, **fields
  )


def test_the_first_layer_has_no_shift_and_others_have_one():
  run = prepared(mlp('batch'), rate=RATE)
  found = covariate_shift.measure(run, initial(run), 0)
  assert found['difference/layer1'] == 0 and found['cosine/layer1'] == 1
  for name in ('layer2', 'logits'):
    assert found[f'difference/{name}'] > 0
    assert -1 <= found[f'cosine/{name}'] < 1


def test_without_a_learning_rate_nothing_shifts():
  run = prepared(mlp('batch'), rate=0.0)
  found = covariate_shift.measure(run, initial(run), 0)
  for name, value in found.items():
    assert value == name.startswith('cosine')


def test_chosen_layers_have_the_values_they_have_among_all():
  state = initial(prepared(mlp('batch')))
  every = covariate_shift.measure(prepared(mlp('batch')), state, 0)
  run = prepared(mlp('batch'), layers=('layer2',))
  chosen = covariate_shift.measure(run, state, 0)
  assert chosen == {k: v for k, v in every.items() if k.endswith('layer2')}
  assert len(chosen) == 2


def test_all_parameters_of_earlier_layers_move_and_no_others():
  run = prepared(mlp('batch'), rate=RATE, optimizer='sgd')
  state = initial(run)
  here = subject.at(run, 0)

  def gradient(params):
    return precise.gradient(here, state, params)[0]

  before = gradient(state.params)
  after = jax.tree.map(lambda p, g: p - RATE * g, state.params, before)
  there = gradient({**state.params, 'layer1': after['layer1']})
  pair = [tree['layer2']['dense']['kernel'] for tree in (before, there)]
  found = covariate_shift.measure(run, state, 0)
  np.testing.assert_allclose(
    found['difference/layer2'], np.linalg.norm(pair[0] - pair[1]), rtol=1e-4
  )


def test_comparison_of_gradients_at_its_limits():
  x, zero = np.float32([3, 4]), np.zeros(2, np.float32)
  assert covariate_shift.compare(x, x) == (0, 1)
  assert covariate_shift.compare(zero, zero) == (0, 1)
  assert covariate_shift.compare(x, zero) == (5, 0)
  np.testing.assert_allclose(covariate_shift.compare(x, -x), (10, -1))
  # The squares are below the smallest float.
  small = covariate_shift.compare(1e-30 * x, 1e-30 * x[::-1])
  np.testing.assert_allclose(small, (1e-30 * np.sqrt(2), 24 / 25), rtol=1e-5)


@pytest.mark.parametrize('norm', norms.NORMS)
def test_every_norm_is_measured_and_left_as_it_is(norm):
  run = prepared(mlp(norm))
  state = initial(run)
  before = jax.tree.map(np.asarray, state)
  first, again = (covariate_shift.measure(run, state, 0) for _ in range(2))
  assert first == again
  assert all(np.isfinite(value) for value in first.values())
  jax.tree.map(np.testing.assert_array_equal, state, before)


def test_a_bfloat16_network_is_measured_in_float32():
  full, half = prepared(mlp('batch')), prepared(mlp('batch', dtype='bfloat16'))
  state = initial(full)
  assert covariate_shift.measure(half, state, 0) == covariate_shift.measure(
    full, state, 0
  )


def test_dropout_is_off():
  run = prepared(mlp('batch', dropout=0.5))
  state = initial(run)
  plain = prepared(mlp('batch'))
  assert covariate_shift.measure(run, state, 0) == covariate_shift.measure(
    plain, state, 0
  )


def test_microbatches_have_statistics_of_their_own():
  batch = examples((8, 6, 6, 1))
  whole = prepared(mlp('batch'), batch=batch)
  parts = prepared(mlp('batch'), batch=batch, microbatches=2)
  state = initial(whole)
  found = [covariate_shift.measure(r, state, 0) for r in (whole, parts)]
  assert found[0]['difference/logits'] != found[1]['difference/logits']
