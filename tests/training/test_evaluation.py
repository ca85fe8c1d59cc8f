"""What evaluation says of networks as if trained, on a few small images."""

import functools
import logging
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from configs import base
from normlab import data, models, norms
from normlab.data.memory_feed import MemoryFeed
from normlab.program import training_step
from normlab.program.programs import Program
from normlab.runtime import devices
from normlab.training import evaluation

CLASSES, EXAMPLES, BATCH = 3, 11, 4
KEY = jax.random.key(0)
# Which examples are in each batch of BATCH; the last is filled up from the
# beginning.
BATCHES = np.arange(12).reshape(3, BATCH) % EXAMPLES


@functools.cache
def splits():
  generator = np.random.default_rng(0)

  def split(count, brightness):
    images = generator.integers(0, brightness, (count, 4, 4, 1), np.uint8)
    labels = (np.arange(count) % CLASSES).astype(np.int32)
    return data.Examples(images, labels)

  return {'train': split(24, 256), 'test': split(EXAMPLES, 200)}


def config(**fields):
  values = {'batch_size': BATCH, 'eval_batch_size': 8}
  values |= {'recalibration_examples': 16}
  made = base.get_config()
  made.update(values | fields)
  return made


def build_model(norm='batch', name='mlp', widths=(5, 4)):
  return models.build(
    name,
    num_classes=CLASSES,
    widths=widths,
    dropout=0.5,
    norm=norms.build(norm),
  )


def randomized(model, seed=1):
  """A state as if trained: nothing at its neutral value."""
  init = functools.partial(model.init, train=False)
  shapes = jax.eval_shape(init, KEY, jnp.zeros((1, 4, 4, 1)))
  generator = np.random.default_rng(seed)

  def leaf(shape):
    low = -1 if len(shape.shape) > 1 else 0.5
    values = generator.uniform(low, 1.5, shape.shape)
    return jnp.asarray(values, shape.dtype)

  variables = jax.tree.map(leaf, shapes)
  params = variables.pop('params')
  return training_step.TrainState(jnp.array(7), params, variables, ())


@functools.cache
def feed(num_devices=1):
  return MemoryFeed(splits(), KEY, BATCH, devices.mesh(num_devices))


class Ready(NamedTuple):
  """What evaluation reads of a run, and a state."""

  config: ml_collections.ConfigDict
  program: Program
  feed: MemoryFeed
  standardizer: data.Standardizer
  state: training_step.TrainState


def make(model, num_devices=1, **fields):
  mesh, examples = devices.mesh(num_devices), feed(num_devices)
  state, standardizer = devices.replicate(
    (randomized(model), examples.standardizer), mesh
  )
  built = Program(model, 'sgd')
  return Ready(config(**fields), built, examples, standardizer, state)


def inputs(ready, split='test', rows=slice(None)):
  return ready.standardizer.standardize(
    jnp.asarray(splits()[split].images[rows])
  )


@functools.partial(jax.jit, static_argnames=('model', 'train'))
def apply(model, variables, images, *, train):
  """Also in training mode without dropout."""
  mutable = ['batch_stats'] if train else []
  model = model.clone(dropout=0.0)
  return model.apply(variables, images, train=train, mutable=mutable)[0]


def running_logits(ready, state):
  variables = {'params': state.params, **state.model_state}
  return apply(ready.program.model, variables, inputs(ready), train=False)


def batch_logits(ready, state):
  """Batch by batch, as in training."""
  model = ready.program.model
  variables = {'params': state.params, **state.model_state}
  rows = [
    apply(model, variables, inputs(ready, rows=rows), train=True)
    for rows in BATCHES
  ]
  return jnp.concatenate(rows)[:EXAMPLES]


def assert_values(values, logits, suffix=''):
  labels = splits()['test'].labels
  logits = np.asarray(logits, np.float64)
  shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  nats = -np.log(shares[np.arange(EXAMPLES), labels])
  right = logits.argmax(-1) == labels
  assert values[f'loss{suffix}'] == pytest.approx(nats.mean(), rel=1e-5)
  assert values[f'accuracy{suffix}'] == pytest.approx(right.mean())
  by_class = [right[labels == label].mean() for label in range(CLASSES)]
  assert values[f'class_accuracy{suffix}'] == pytest.approx(by_class)
  assert 0 < values[f'ece{suffix}'] < 1


@pytest.fixture(scope='module')
def ready():
  return make(build_model())


@pytest.mark.parametrize('batch_size', [None, 1, 4, 50])
def test_every_example_counts_once_whatever_the_batches(ready, batch_size):
  values = evaluation.evaluate(
    ready, ready.state, 'test', batch_size=batch_size
  )
  assert list(values) == ['loss', 'accuracy', 'ece', 'class_accuracy']
  assert_values(values, running_logits(ready, ready.state))


def test_statistics_of_each_batch_are_those_of_training(ready):
  values = evaluation.evaluate(ready, ready.state, 'test', statistics=['batch'])
  assert_values(values, batch_logits(ready, ready.state))
  other = evaluation.evaluate(
    ready, ready.state, 'test', statistics=['batch'], batch_size=11
  )
  assert abs(other['loss'] - values['loss']) > 1e-4


def test_recalibrated_statistics_are_those_of_training_examples(ready):
  ours = evaluation.evaluate(
    ready, ready.state, 'test', statistics=['recalibrated']
  )
  variables = {'params': ready.state.params, **ready.state.model_state}
  images = inputs(ready, 'train', slice(16))
  variables = norms.recalibrate(ready.program.model, variables, [images])
  del variables['params']
  state = ready.state.replace(model_state=variables)
  assert_values(ours, running_logits(ready, state))
  running = evaluation.evaluate(ready, ready.state, 'test')
  assert abs(ours['loss'] - running['loss']) > 1e-4


def test_each_of_the_statistics_has_its_columns():
  names = ('batch', 'running', 'recalibrated')
  ready = make(build_model(), eval_statistics=names)
  average = randomized(ready.program.model, seed=2).params
  state = ready.state.replace(ema=average)
  values = evaluation.evaluate(ready, state, 'test')
  metrics = ['loss', 'accuracy', 'ece', 'class_accuracy']
  suffixes = ['', '_running', '_recalibrated', '_ema']
  assert list(values) == [m + s for s in suffixes for m in metrics]
  assert_values(values, batch_logits(ready, state))
  assert_values(values, running_logits(ready, state), '_running')
  averaged = state.replace(params=average)
  assert_values(values, batch_logits(ready, averaged), '_ema')
  recalibrated = evaluation.evaluate(
    ready, ready.state, 'test', statistics=['recalibrated']
  )
  assert values['loss_recalibrated'] == recalibrated['loss']


def test_averaged_parameters_are_recalibrated_too(ready):
  average = randomized(ready.program.model, seed=2).params
  state = ready.state.replace(ema=average)
  values = evaluation.evaluate(
    ready, state, 'test', statistics=['recalibrated']
  )
  expected = evaluation.evaluate(
    ready,
    ready.state.replace(params=average),
    'test',
    statistics=['recalibrated'],
  )
  assert values['loss_ema'] == expected['loss'] != values['loss']


class CountedFeed:
  """A feed that counts the batches it gives."""

  def __init__(self):
    self.given = 0

  def eval_batches(self, split, batch_size):
    for item in feed().eval_batches(split, batch_size):
      self.given += 1
      yield item


def test_columns_of_one_batch_size_share_the_reading(ready):
  counted = CountedFeed()
  state = ready.state.replace(ema=ready.state.params)
  values = evaluation.evaluate(ready._replace(feed=counted), state, 'test')
  assert counted.given == 2
  assert values['loss_ema'] == values['loss']


def test_the_devices_do_not_change_the_result(ready):
  names = ('running', 'batch', 'recalibrated')
  shared = make(build_model(), num_devices=4)
  ours, theirs = (
    evaluation.evaluate(r, r.state, 'test', statistics=names)
    for r in (shared, ready)
  )
  assert ours.keys() == theirs.keys()
  for name in theirs:
    assert ours[name] == pytest.approx(theirs[name], rel=1e-5, abs=1e-6)


def test_a_second_evaluation_compiles_nothing(caplog):
  names = ('running', 'batch', 'recalibrated')
  losses, compiled = [], []
  for factor in (1, 2):
    ready = make(build_model(widths=(3,)))  # A model of this test alone.
    params = jax.tree.map(lambda p, f=factor: p * f, ready.state.params)
    state = ready.state.replace(params=params)
    caplog.clear()
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
      values = evaluation.evaluate(ready, state, 'test', statistics=names)
    lines = [record.message for record in caplog.records]
    compiled.append([line for line in lines if line.startswith('Compiling')])
    losses.append(values['loss_recalibrated'])
  assert len(compiled[0]) >= 3 and not compiled[1]
  assert losses[0] != losses[1]


def test_a_broken_network_is_said_to_be(ready):
  params = jax.tree.map(lambda p: p * jnp.nan, ready.state.params)
  values = evaluation.evaluate(
    ready, ready.state.replace(params=params), 'test'
  )
  assert np.isnan(values['loss']) and np.isnan(values['ece'])
  assert values['accuracy'] == 0 and values['class_accuracy'] == [0, 0, 0]


def test_a_model_without_statistics_has_no_others():
  ready = make(build_model('none'))
  values = evaluation.evaluate(ready, ready.state, 'test')
  assert_values(values, running_logits(ready, ready.state))
  for name in ('batch', 'recalibrated'):
    with pytest.raises(ValueError, match='statistics'):
      evaluation.evaluate(ready, ready.state, 'test', statistics=[name])


def test_evaluation_runs_one_batch_ahead():
  made = []
  items = evaluation.one_ahead(made.append(i) or i for i in range(3))
  assert next(items) == 0 and made == [0, 1]
  assert list(items) == [1, 2]
