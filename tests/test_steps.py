import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from normlab import data, models, norms, steps
from normlab.program import Program

RATE, DECAY, MOMENTUM, CLASSES = 0.1, 0.01, 0.9, 3
KEY = jax.random.key(7)
# No norm and no state, running statistics, and statistics that count steps.
NORMS = ('none', 'batch', 'batch_renorm')

train_step = jax.jit(steps.train_step, static_argnames='program')
train_steps = jax.jit(steps.train_steps, static_argnames='program')
eval_step = jax.jit(steps.eval_step, static_argnames='program')
init_state = jax.jit(steps.init_state, static_argnames='program')


@pytest.fixture(scope='module')
def split():
  generator = np.random.default_rng(0)
  images = generator.integers(0, 256, (12, 4, 4, 1), np.uint8)
  labels = generator.integers(0, CLASSES, 12).astype(np.int32)
  return data.to_device({'train': data.Split(images, labels)})['train']


@functools.cache
def make_program(norm, **fields):
  model = models.build(
    name='mlp',
    num_classes=CLASSES,
    widths=(5,),
    norm=norms.build(name=norm),
    **fields,
  )
  return Program(model, 'momentum')


@pytest.fixture(scope='module')
def hyper():
  return {
    'weight_decay': np.float32(DECAY),
    'momentum': np.float32(MOMENTUM),
  }


@pytest.fixture(scope='module')
def start(split, hyper):
  """The initial state of a program."""

  @functools.cache
  def make(program):
    return init_state(
      KEY, split.standardize(split.images[:2]), hyper, program=program
    )

  return make


ROWS = jnp.array([[3, 1, 4, 5], [9, 2, 6, 0], [5, 3, 8, 7]], jnp.int32)


def assert_trees_close(ours, theirs, **tolerance):
  assert jax.tree.structure(ours) == jax.tree.structure(theirs)
  for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
    np.testing.assert_allclose(a, b, **(tolerance or {'rtol': 1e-6}))


def assert_trees_differ(ours, theirs):
  for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
    assert not np.allclose(a, b)


def norm_state(state):
  return state.model_state['batch_stats']['layer1']['norm']


def test_initial_state_is_at_step_zero(start):
  state = start(make_program('batch'))
  assert state.step == 0 and state.step.dtype == jnp.int32
  assert set(state.params) == {'layer1', 'logits'}
  assert set(state.model_state) == {'batch_stats'}
  assert (norm_state(state)['mean'] == 0).all()
  assert (norm_state(state)['var'] == 1).all()


def test_model_without_state_has_an_empty_model_state(start):
  assert start(make_program('none')).model_state == {}


def test_initial_parameters_depend_on_the_key(split, hyper):
  images, program = split.images[:2] / 255, make_program('batch')
  first, second = (
    init_state(jax.random.key(seed), images, hyper, program=program)
    for seed in (0, 1)
  )
  kernels = [state.params['logits']['kernel'] for state in (first, second)]
  assert not np.allclose(*kernels)


@pytest.mark.parametrize('norm', NORMS)
def test_step_is_that_of_plain_flax_and_optax(norm, split, hyper, start):
  program = make_program(norm)
  state = start(program)
  optimizer = optax.chain(
    optax.add_decayed_weights(
      DECAY, lambda params: jax.tree.map(lambda p: p.ndim > 1, params)
    ),
    optax.sgd(RATE, MOMENTUM),
  )

  @jax.jit
  def reference(params, model_state, opt_state, rows):
    images = split.images[rows].astype(jnp.float32) / 255
    images = (images - split.mean) / split.std
    one_hot = jax.nn.one_hot(split.labels[rows], CLASSES)

    def loss(params):
      logits, new = program.model.apply(
        {'params': params, **model_state},
        images,
        train=True,
        mutable=['batch_stats'],
      )
      nats = -(jax.nn.log_softmax(logits) * one_hot).sum(-1)
      right = (logits.argmax(-1) == split.labels[rows]).mean()
      return nats.mean(), (right, new)

    (nats, (right, new)), gradient = jax.value_and_grad(loss, has_aux=True)(
      params
    )
    updates, opt_state = optimizer.update(gradient, opt_state, params)
    params = optax.apply_updates(params, updates)
    return params, new, opt_state, {'loss': nats, 'accuracy': right}

  params, model_state = state.params, state.model_state
  opt_state = optimizer.init(params)
  for rows in ROWS[:2]:
    state, means = train_step(
      state, split, rows, RATE, hyper, KEY, program=program
    )
    params, model_state, opt_state, expected = reference(
      params, model_state, opt_state, rows
    )
    assert_trees_close(means, expected, rtol=1e-5)
  assert_trees_close(state.params, params, rtol=1e-4, atol=1e-6)
  assert_trees_close(state.model_state, model_state, rtol=1e-4, atol=1e-6)
  assert_trees_differ(state.params, start(program).params)
  assert state.step == 2


@pytest.mark.parametrize(
  'norm, fields', [('none', {}), ('batch', {'dropout': 0.5})]
)
def test_several_steps_are_repeated_single_steps(
  norm, fields, split, hyper, start
):
  program = make_program(norm, **fields)
  rates = jnp.array([0.1, 0.05, 0.2])
  state, means = start(program), []
  for rows, rate in zip(ROWS, rates, strict=True):
    state, mean = train_step(
      state, split, rows, rate, hyper, KEY, program=program
    )
    means.append(mean)
  scanned, scanned_means = train_steps(
    start(program), split, ROWS, rates, hyper, KEY, program=program
  )
  assert_trees_close(scanned, state, rtol=1e-4, atol=1e-6)
  stacked = jax.tree.map(lambda *values: jnp.stack(values), *means)
  assert_trees_close(scanned_means, stacked, rtol=1e-4, atol=1e-6)
  assert scanned_means['loss'].shape == (3,)
  assert scanned.step == 3


def test_running_statistics_change_in_training(split, hyper, start):
  program = make_program('batch')
  before = start(program)
  after, _ = train_step(
    before, split, ROWS[0], RATE, hyper, KEY, program=program
  )
  assert_trees_differ(norm_state(after), norm_state(before))


def test_running_statistics_follow_the_batch(split, hyper, start):
  program = make_program('batch')
  before = start(program)
  after, _ = train_step(
    before, split, ROWS[0], RATE, hyper, KEY, program=program
  )
  images = split.standardize(split.images[ROWS[0]]).reshape(4, -1)
  kernel = before.params['layer1']['dense']['kernel']
  expected = 0.01 * (images @ kernel).mean(0)
  np.testing.assert_allclose(
    norm_state(after)['mean'], expected, rtol=1e-4, atol=1e-6
  )


def test_learning_rate_of_zero_keeps_the_parameters(split, hyper, start):
  program = make_program('batch')
  before = start(program)
  after, _ = train_step(
    before, split, ROWS[0], 0.0, hyper, KEY, program=program
  )
  assert_trees_close(after.params, before.params)
  assert after.step == 1


def test_step_is_deterministic_in_key_and_step(split, hyper, start):
  program = make_program('batch', dropout=0.5)
  state = start(program)

  def loss(key, step):
    at = state.replace(step=jnp.asarray(step, jnp.int32))
    _, means = train_step(at, split, ROWS[0], RATE, hyper, key, program=program)
    return float(means['loss'])

  first = loss(KEY, 0)
  assert loss(KEY, 0) == first
  assert loss(KEY, 1) != first
  assert loss(jax.random.key(8), 0) != first


def test_images_are_augmented_by_key_and_step(split, hyper, start):
  plain = make_program('none')
  program = Program(plain.model, 'momentum', data.Augmentation(2, True))
  state = start(plain)

  def loss(program, step):
    at = state.replace(step=jnp.asarray(step, jnp.int32))
    _, means = train_step(at, split, ROWS[0], RATE, hyper, KEY, program=program)
    return float(means['loss'])

  losses = {loss(program, step) for step in (0, 1, 0)}
  assert len(losses) == 2
  assert loss(plain, 0) not in losses
  assert loss(plain, 0) == loss(plain, 1)


def expected_values(program, state, split, rows):
  images = split.standardize(split.images[rows])
  logits = program.model.apply(
    {'params': state.params, **state.model_state}, images, train=False
  )
  log_softmax = np.asarray(jax.nn.log_softmax(logits))
  labels = np.asarray(split.labels)[rows]
  losses = -log_softmax[np.arange(len(rows)), labels]
  return losses, np.asarray(logits).argmax(-1) == labels


@pytest.mark.parametrize('norm', ['none', 'batch'])
def test_evaluation_sums_over_valid_rows(norm, split, start):
  program = make_program(norm)
  state = start(program)
  rows, valid = np.array([4, 11, 2, 0]), np.array([True, True, True, False])
  sums = eval_step(
    state.params, state.model_state, split, rows, valid, program=program
  )
  losses, right = expected_values(program, state, split, rows)
  assert set(sums) == {'loss', 'accuracy', 'count'}
  assert sums['count'] == 3
  np.testing.assert_allclose(sums['loss'], losses[:3].sum(), rtol=1e-5)
  assert sums['accuracy'] == right[:3].sum()


def test_evaluation_uses_the_running_statistics(split, start):
  program = make_program('batch')
  state = start(program)
  rows, valid = np.arange(4), np.ones(4, bool)
  scaled = jax.tree.map(lambda s: 4 * s + 1, state.model_state)
  before, after = (
    eval_step(state.params, s, split, rows, valid, program=program)
    for s in (state.model_state, scaled)
  )
  assert abs(float(before['loss'] - after['loss'])) > 1e-3


def test_evaluation_of_a_row_does_not_depend_on_the_others(split, start):
  program = make_program('batch')
  state = start(program)

  def total(rows, valid):
    return eval_step(
      state.params,
      state.model_state,
      split,
      np.array(rows),
      np.array(valid),
      program=program,
    )['loss']

  alone = total([5, 1, 2, 3], [True, False, False, False])
  others = total([5, 9, 10, 11], [True, False, False, False])
  np.testing.assert_allclose(alone, others, rtol=1e-6)


class Counted(nn.Module):
  """A model whose state is in a collection of its own."""

  @nn.compact
  def __call__(self, x, *, train):
    calls = self.variable('calls', 'count', jnp.zeros, (), jnp.int32)
    if train and not self.is_initializing():
      calls.value += 1
    return nn.Dense(CLASSES)(x.reshape(len(x), -1))


def test_any_collection_is_carried_along(split, hyper):
  program = Program(Counted(), 'momentum')
  images = split.images[:2].astype(jnp.float32)
  state = init_state(KEY, images, hyper, program=program)
  rates = jnp.full(3, RATE)
  state, _ = train_steps(state, split, ROWS, rates, hyper, KEY, program=program)
  assert state.model_state == {'calls': {'count': 3}}
