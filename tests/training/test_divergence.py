"""The last state that was finite, and the first tensor that was not."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from configs import base
from normlab import models, norms, validation
from normlab.journal.checkpoints import Position
from normlab.program import training_step
from normlab.runtime import devices
from normlab.training import compiled_calls, divergence, preparation


def prepare(norm, learning_rate=0.1):
  config = base.get_config()
  config.model.name = 'mlp'
  config.model.widths = (4,)
  config.norm.name = norm
  config.num_devices, config.total_steps = 1, 12
  config.optimizer.learning_rate = learning_rate
  return preparation.prepare(validation.check(config))


@pytest.fixture(scope='module')
def ready():
  return prepare('batch')


@pytest.fixture(scope='module')
def start(ready):
  return preparation.initial_state(ready)


def test_outputs_are_listed_in_the_order_they_are_done():
  model = models.build(
    'mlp', num_classes=3, widths=(4, 4), **norms.build('rms')
  )
  images = jnp.zeros((2, 4))
  with divergence.outputs_recorded() as outputs:
    jax.eval_shape(
      functools.partial(model.init, train=False), jax.random.key(0), images
    )
  assert [path for path, _ in outputs] == [
    'layer1/dense',
    'layer1/norm',
    'layer1',
    'dropout1',
    'layer2/dense',
    'layer2/norm',
    'layer2',
    'dropout',
    'logits',
    'logits',
  ]
  assert outputs[0][1].shape == (2, 4) and outputs[-1][1].shape == (2, 3)


def test_nothing_is_recorded_after_the_block():
  with divergence.outputs_recorded() as outputs:
    pass
  jax.eval_shape(nn.Dense(1).init, jax.random.key(0), jnp.zeros((1, 1)))
  assert outputs == []


def with_value(tree, path, value):
  """The tree with one tensor filled with the value."""
  found = [name for name, _ in training_step.named_leaves(tree)]
  assert path in found, found
  leaves = [
    np.full(leaf.shape, value, leaf.dtype) if name == path else leaf
    for name, leaf in training_step.named_leaves(tree)
  ]
  return jax.tree.unflatten(jax.tree.structure(tree), leaves)


@pytest.mark.parametrize(
  'path, value, expected',
  [
    ('params/layer1/dense/kernel', np.nan, 'activation layer1/dense'),
    ('params/layer1/norm/scale', np.inf, 'activation layer1/norm'),
    (
      'model_state/batch_stats/layer1/norm/mean',
      np.inf,
      'model_state batch_stats/layer1/norm/mean',
    ),
    # The momentum of a parameter is in its update.
    (
      'opt_state/1/trace/layer1/norm/bias',
      np.nan,
      'parameter layer1/norm/bias',
    ),
  ],
)
def test_first_tensor_that_is_not_finite_is_named(
  ready, start, path, value, expected
):
  state = devices.replicate(with_value(start, path, value), ready.mesh)
  assert divergence.first_nonfinite(ready, state, 0) == expected
  # The state can still be saved.
  assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(state))


def test_step_whose_tensors_are_all_finite_has_none(ready, start):
  assert divergence.first_nonfinite(ready, start, 0) is None


class Root(nn.Module):
  """A finite loss with an infinite gradient: the root has it at zero."""

  @nn.compact
  def __call__(self, x, *, train):
    w = self.param('w', nn.initializers.zeros, (10,))
    return nn.Dense(10)(x.reshape(len(x), -1)) + jnp.sqrt(w)


class Far(nn.Module):
  """Logits so far apart that their cross-entropy is infinite."""

  @nn.compact
  def __call__(self, x, *, train):
    logits = nn.Dense(10)(x.reshape(len(x), -1))
    return logits + jnp.where(jnp.arange(10) % 2, 3e38, -3e38)


@pytest.mark.parametrize(
  'model, expected', [(Root(), 'gradient w'), (Far(), 'loss')]
)
def test_gradient_and_loss_are_looked_at(ready, model, expected):
  program = dataclasses.replace(ready.program, model=model)
  other = ready._replace(program=program)
  state = preparation.initial_state(other)
  assert divergence.first_nonfinite(other, state, 0) == expected


class Journal:
  """Has one checkpoint, or none."""

  def __init__(self, found=None):
    self.found = found

  def restore(self, like, most):
    return self.found if self.found and self.found[1].step <= most else None


class Counted:
  """Examples that count how many batches were given, as a stream does."""

  def __init__(self, source):
    self._source, self.given = source, 0

  def __getattr__(self, name):
    return getattr(self._source, name)

  def inputs(self, first, count):
    assert self.given == first
    self.given += count
    return self._source.inputs(first, count)

  def state(self):
    return {'given': self.given}

  def restore(self, state):
    self.given = state['given']


@pytest.fixture(scope='module')
def diverging():
  ready = prepare('none', 1e30)
  return ready._replace(feed=Counted(ready.feed), stream_start={'given': 0})


copied = jax.jit(lambda state: jax.tree.map(jnp.copy, state))


def is_finite(state):
  return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


@pytest.fixture(scope='module')
def states(diverging):
  """The states of a run, up to the first that is not finite."""
  diverging.feed.restore(diverging.stream_start)
  found = [preparation.initial_state(diverging)]
  while is_finite(found[-1]):
    before = copied(found[-1])
    state, _ = compiled_calls.run_steps(diverging, before, len(found) - 1, 1)
    found.append(state)
    assert len(found) < 12
  return found


def test_last_finite_state_is_the_one_before_the_divergence(diverging, states):
  most = len(states) + 2
  at, state = divergence.last_finite(diverging, Journal(), most)
  assert at == len(states) - 2 and state.step == at
  assert is_finite(state)
  jax.tree.map(np.testing.assert_array_equal, state, states[at])
  # The examples stand at the step that was not finite.
  assert diverging.feed.given == at
  tensor = divergence.first_nonfinite(diverging, state, at)
  assert tensor is not None


@pytest.mark.parametrize('most', [0, 1])
def test_last_finite_state_is_no_later_than_asked(diverging, states, most):
  assert len(states) > 2
  at, state = divergence.last_finite(diverging, Journal(), most)
  assert at == most == diverging.feed.given
  jax.tree.map(np.testing.assert_array_equal, state, states[most])


@pytest.mark.parametrize('most', [1, 9])
def test_steps_are_made_again_from_the_newest_checkpoint(
  diverging, states, most
):
  found = copied(states[1]), Position(1, stream={'given': 1})
  at, state = divergence.last_finite(diverging, Journal(found), most)
  assert at == min(most, len(states) - 2) == diverging.feed.given
  jax.tree.map(np.testing.assert_array_equal, state, states[at])
