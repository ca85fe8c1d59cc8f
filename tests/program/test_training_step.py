import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from normlab import data, models, norms
from normlab.data.stream_feed import Streamed
from normlab.program import training_step
from normlab.program.programs import Hyper, Program
from normlab.training import compiled_calls

RATE, DECAY, MOMENTUM, CLASSES = 0.1, 0.01, 0.9, 3
KEY = jax.random.key(7)
# No norm and no state, running statistics, and statistics that count steps.
NORMS = ('none', 'batch', 'batch_renorm')

# Compiling is nearly all that these tests do, and less of it is enough.
jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)
jitted = functools.partial(jit, static_argnames='program')


train_step = jitted(training_step.train_step)
init_state = jitted(training_step.init_state)
gradient_of = jitted(training_step.gradient_of)
accumulated_gradient = jitted(training_step.accumulated_gradient)

HYPER = Hyper(
  {
    'learning_rate': np.float32(RATE),
    'weight_decay': np.float32(DECAY),
    'momentum': np.float32(MOMENTUM),
  }
)
ROWS = np.array([[3, 1, 4, 5], [9, 2, 6, 0], [5, 3, 8, 7]])


@pytest.fixture(scope='module')
def split():
  generator = np.random.default_rng(0)
  images = generator.integers(0, 256, (12, 4, 4, 1), np.uint8)
  labels = generator.integers(0, CLASSES, 12).astype(np.int32)
  # As NumPy's: what tests pick and compare needs no compiling.
  return data.Examples(images, labels)


@pytest.fixture(scope='module')
def pixels(split):
  return data.pixel_statistics(split.images)


@functools.cache
def make_program(norm, *, microbatches=1, layer_norms=False, **fields):
  model = models.build(
    name='mlp',
    num_classes=CLASSES,
    widths=(5,),
    **norms.build(name=norm),
    **fields,
  )
  return Program(
    model,
    'momentum',
    microbatches=microbatches,
    log_layer_norms=layer_norms,
  )


@pytest.fixture(scope='module')
def start(split, pixels):
  """The initial state of a program."""

  @functools.cache
  def make(model):
    images = pixels.standardize(split.images[:2])
    return init_state(KEY, images, HYPER, program=Program(model, 'momentum'))

  # Dropout and microbatches do not change it.
  return lambda program: make(program.model.clone(dropout=0.0))


def step_on(state, batch, pixels, program, rate=RATE, key=KEY):
  hyper = HYPER.with_rates(rate)
  return train_step(state, batch, pixels, hyper, key, program=program)


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


@pytest.mark.parametrize('norm', NORMS)
def test_step_is_that_of_plain_flax_and_optax(norm, split, pixels, start):
  program = make_program(norm)
  state = start(program)
  optimizer = optax.chain(
    optax.add_decayed_weights(
      DECAY, lambda params: jax.tree.map(lambda p: p.ndim > 1, params)
    ),
    optax.sgd(RATE, MOMENTUM),
  )

  @jit
  def reference(params, model_state, opt_state, batch):
    images = batch.images.astype(jnp.float32) / 255
    images = (images - pixels.mean) / pixels.std
    one_hot = jax.nn.one_hot(batch.labels, CLASSES)

    def loss(params):
      logits, new = program.model.apply(
        {'params': params, **model_state},
        images,
        train=True,
        mutable=['batch_stats'],
      )
      nats = -(jax.nn.log_softmax(logits) * one_hot).sum(-1)
      right = (logits.argmax(-1) == batch.labels).mean()
      return nats.mean(), (right, new)

    (nats, (right, new)), gradient = jax.value_and_grad(loss, has_aux=True)(
      params
    )
    updates, opt_state = optimizer.update(gradient, opt_state, params)
    params = optax.apply_updates(params, updates)
    metrics = {
      'loss': nats,
      'accuracy': right,
      'gradient_norm': optax.tree.norm(gradient),
    }
    return params, new, opt_state, metrics

  params, model_state = state.params, state.model_state
  opt_state = optimizer.init(params)
  for rows in ROWS[:2]:
    state, metrics = step_on(state, split.take(rows), pixels, program)
    params, model_state, opt_state, expected = reference(
      params, model_state, opt_state, split.take(rows)
    )
    assert_trees_close(metrics, expected, rtol=1e-5)
  assert_trees_close(state.params, params, rtol=1e-4, atol=1e-6)
  assert_trees_close(state.model_state, model_state, rtol=1e-4, atol=1e-6)
  assert_trees_differ(state.params, start(program).params)
  assert state.step == 2


def test_several_steps_are_repeated_single_steps(split, pixels, start):
  program = make_program('batch', dropout=0.5)
  rates = jnp.array([0.1, 0.05, 0.2])
  state, metrics = start(program), []
  for rows, rate in zip(ROWS, rates, strict=True):
    state, mean = step_on(state, split.take(rows), pixels, program, rate)
    metrics.append(mean)
  inputs = Streamed(split.take(ROWS))
  scanned, called = compiled_calls.train_steps(
    training_step.copied(start(program)),
    inputs,
    pixels,
    HYPER.with_rates(rates),
    KEY,
    program=program,
  )
  assert_trees_close(scanned, state, rtol=1e-4, atol=1e-6)
  stacked = jax.tree.map(lambda *values: jnp.stack(values), *metrics)
  for i, name in enumerate(called.names):
    np.testing.assert_allclose(
      called.values[:, i], stacked[name], rtol=1e-4, atol=1e-6
    )
  assert called.values.shape == (3, len(stacked))
  assert scanned.step == 3


def loss_at(step, state, batch, pixels, program, key=KEY):
  at = state.replace(step=jnp.asarray(step, jnp.int32))
  _, metrics = step_on(at, batch, pixels, program, key=key)
  return float(metrics['loss'])


def test_step_is_deterministic_in_key_and_step(split, pixels, start):
  program = make_program('batch', dropout=0.5)
  inputs = start(program), split.take(ROWS[0]), pixels, program
  first = loss_at(0, *inputs)
  assert loss_at(0, *inputs) == first
  assert loss_at(1, *inputs) != first
  assert loss_at(0, *inputs, key=jax.random.key(8)) != first


def test_images_are_augmented_by_key_and_step(split, pixels, start):
  plain = make_program('none')
  program = Program(plain.model, 'momentum', data.Augmentation(2, True))
  inputs = start(plain), split.take(ROWS[0]), pixels
  losses = {loss_at(step, *inputs, program) for step in (0, 1, 0)}
  assert len(losses) == 2
  assert loss_at(0, *inputs, plain) not in losses
  assert loss_at(0, *inputs, plain) == loss_at(1, *inputs, plain)


class Counted(nn.Module):
  """A model whose state is in a collection of its own."""

  @nn.compact
  def __call__(self, x, *, train):
    calls = self.variable('calls', 'count', jnp.zeros, (), jnp.int32)
    if train and not self.is_initializing():
      calls.value += 1
    return nn.Dense(CLASSES)(x.reshape(len(x), -1))


def test_any_collection_is_carried_along(split, pixels):
  program = Program(Counted(), 'momentum')
  images = split.images[:2].astype(jnp.float32)
  state = init_state(KEY, images, HYPER, program=program)
  state, _ = compiled_calls.train_steps(
    state,
    Streamed(split.take(ROWS)),
    pixels,
    HYPER.with_rates(jnp.full(3, RATE)),
    KEY,
    program=program,
  )
  assert state.model_state == {'calls': {'count': 3}}


PARTS = 3


@pytest.fixture(scope='module')
def examples(split, pixels):
  return np.asarray(pixels.standardize(split.images)), split.labels


def parts_of(examples):
  """Each microbatch: every third example."""
  return [
    jax.tree.map(lambda x, i=i: x[i::PARTS], examples) for i in range(PARTS)
  ]


def gradients_of(state, examples, keys, program):
  """Gradient and metrics of each microbatch, computed alone."""
  found = [
    gradient_of(state.params, state.model_state, part, key, program=program)
    for part, key in zip(parts_of(examples), keys, strict=True)
  ]
  return [gradient for gradient, *_ in found], [
    metrics for _, metrics, _ in found
  ]


def mean_of(trees):
  return jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *trees)


def test_each_microbatch_has_statistics_of_its_own(examples, start):
  program, alone = (
    make_program('batch', microbatches=PARTS),
    make_program('batch'),
  )
  state = start(program)
  inputs = state.params, state.model_state, examples, KEY
  ours, metrics, _ = accumulated_gradient(*inputs, program=program)
  gradients, expected = gradients_of(state, examples, [KEY] * PARTS, alone)
  assert_trees_close(ours, mean_of(gradients), rtol=1e-4, atol=1e-6)
  assert_trees_close(metrics, mean_of(expected), rtol=1e-5)
  whole, _, _ = gradient_of(*inputs, program=alone)
  assert_trees_differ(ours['layer1']['dense'], whole['layer1']['dense'])


def test_running_statistics_move_once_for_each_microbatch(examples, start):
  program, alone = (
    make_program('batch', microbatches=PARTS),
    make_program('batch'),
  )
  state = start(program)
  inputs = state.params, state.model_state, examples, KEY
  *_, ours = accumulated_gradient(*inputs, program=program)
  moved = state.model_state
  for part in parts_of(examples):
    *_, moved = gradient_of(state.params, moved, part, KEY, program=alone)
  assert_trees_close(ours, moved, rtol=1e-5, atol=1e-7)


def test_microbatches_have_keys_of_their_own(examples, start):
  program = make_program('none', microbatches=PARTS, dropout=0.5)
  state = start(program)
  # The same four examples in every microbatch: only their dropout differs.
  same = jax.tree.map(lambda x: np.repeat(x[:4], PARTS, axis=0), examples)
  ours, metrics, _ = accumulated_gradient(
    state.params, state.model_state, same, KEY, program=program
  )
  keys = [jax.random.fold_in(KEY, i) for i in range(PARTS)]
  alone = make_program('none', dropout=0.5)
  gradients, expected = gradients_of(state, same, keys, alone)
  assert_trees_close(ours, mean_of(gradients), rtol=1e-4, atol=1e-6)
  assert_trees_close(metrics, mean_of(expected), rtol=1e-5)
  assert len({float(each['loss']) for each in expected}) == PARTS


def test_a_loop_over_microbatches_is_the_unrolled_one(
  examples, start, monkeypatch
):
  program = make_program('batch', microbatches=PARTS)
  state = start(program)
  inputs = state.params, state.model_state, examples, KEY
  unrolled = accumulated_gradient(*inputs, program=program)
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')

  @jitted
  def looped(*inputs, program):
    return training_step.accumulated_gradient(*inputs, program=program)

  assert_trees_close(
    looped(*inputs, program=program), unrolled, rtol=1e-4, atol=1e-6
  )


def test_a_step_of_microbatches_has_their_gradient_and_their_state(
  split, pixels, examples, start
):
  program = make_program('batch', microbatches=PARTS)
  state = start(program)
  after, metrics = step_on(state, split, pixels, program)
  _, key = training_step.keys_of_step(KEY, state.step)
  gradient, _, model_state = accumulated_gradient(
    state.params, state.model_state, examples, key, program=program
  )
  assert_trees_close(after.model_state, model_state, rtol=1e-5, atol=1e-7)
  expected = euclidean(gradient)
  np.testing.assert_allclose(metrics['gradient_norm'], expected, rtol=1e-4)


def test_moving_average_starts_at_the_parameters_if_there_is_one(start):
  images, program = np.zeros((1, 4, 4, 1), np.float32), make_program('none')
  hyper = HYPER._replace(ema_decay=np.float32(0.75))
  state = init_state(KEY, images, hyper, program=program)
  assert_trees_close(state.ema, state.params)
  assert start(program).ema is None


def test_moving_average_of_the_parameters_has_its_closed_form(
  split, pixels, start
):
  decay, program = np.float32(0.75), make_program('batch')
  hyper = HYPER._replace(ema_decay=decay)
  plain = start(program)
  state = plain.replace(ema=plain.params)
  passed = [state.params]
  for rows in ROWS:
    batch = split.take(rows)
    plain, _ = step_on(plain, batch, pixels, program)
    state, _ = train_step(state, batch, pixels, hyper, KEY, program=program)
    # The average watches, and does not change the training.
    assert_trees_close(state.params, plain.params, rtol=1e-5, atol=1e-7)
    passed.append(state.params)
  weights = [decay**3] + [(1 - decay) * decay**i for i in (2, 1, 0)]
  expected = jax.tree.map(
    lambda *leaves: np.tensordot(weights, np.array(leaves), 1), *passed
  )
  assert_trees_close(state.ema, expected, rtol=1e-5, atol=1e-6)


def euclidean(tree):
  leaves = [np.asarray(x, np.float64).ravel() for x in jax.tree.leaves(tree)]
  return np.linalg.norm(np.concatenate(leaves))


PATHS = (
  'layer1/dense/kernel',
  'layer1/norm/bias',
  'layer1/norm/scale',
  'logits/bias',
  'logits/kernel',
)


@pytest.mark.parametrize('microbatches', [1, 2])
def test_training_lowers_the_smoothed_loss_and_says_it(
  microbatches, split, pixels, start
):
  program = make_program('none', microbatches=microbatches)
  state, batch = start(program), split.take(ROWS[0])
  images = pixels.standardize(batch.images)
  share = np.float32(0.3)

  def loss(params):
    log_p = jax.nn.log_softmax(
      program.model.apply({'params': params}, images, train=False)
    )
    target = (1 - share) * np.eye(CLASSES)[batch.labels] + share / CLASSES
    return -(target * log_p).sum(1).mean()

  gradient, metrics, _ = accumulated_gradient(
    state.params,
    state.model_state,
    (images, batch.labels),
    KEY,
    program=program,
    label_smoothing=share,
  )
  expected, slope = jit(jax.value_and_grad(loss))(state.params)
  np.testing.assert_allclose(metrics['loss'], expected, rtol=1e-5)
  assert_trees_close(gradient, slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('norm', ['batch', 'weight'])
def test_numbers_of_a_model_may_be_arguments_of_the_step(
  norm, split, pixels, start
):
  numbers = {'epsilon': 0.25, 'momentum': 0.5}
  if norm == 'weight':
    del numbers['momentum']

  def with_fields(dropout, **fields):
    return Program(
      models.build(
        name='mlp',
        num_classes=CLASSES,
        widths=(5,),
        dropout=dropout,
        **norms.build(name=norm, **fields),
      ),
      'momentum',
    )

  constant = with_fields(0.5, **numbers)
  template = with_fields(0.0, **dict.fromkeys(numbers, 1.0))
  state, batch = start(constant), split.take(ROWS[0])
  expected = step_on(state, batch, pixels, constant)
  arrays = {name: np.float32(value) for name, value in numbers.items()}
  hyper = HYPER._replace(model={'dropout': np.float32(0.5)}, norm=arrays)
  ours = train_step(state, batch, pixels, hyper, KEY, program=template)
  assert_trees_close(ours, expected, rtol=1e-5, atol=1e-6)


def test_norms_are_of_all_tensors_together_and_of_each_if_asked(
  split, pixels, start
):
  program = make_program('batch', layer_norms=True)
  state, batch = start(program), split.take(ROWS[0])
  _, metrics = step_on(state, batch, pixels, program)
  examples = np.asarray(pixels.standardize(batch.images)), batch.labels
  gradient, _, _ = gradient_of(
    state.params,
    state.model_state,
    examples,
    KEY,
    program=make_program('batch'),
  )
  expected = {'gradient_norm': euclidean(gradient)}
  for path, leaf in zip(PATHS, jax.tree.leaves(gradient), strict=True):
    expected[f'gradient_norm/{path}'] = euclidean(leaf)
  assert set(metrics) == {'loss', 'accuracy', *expected}
  for name, value in expected.items():
    np.testing.assert_allclose(metrics[name], value, rtol=1e-4, atol=1e-6)
