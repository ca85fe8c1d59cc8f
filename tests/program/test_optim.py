import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from normlab import registry
from normlab.program import optim

RATE, DECAY, UPDATES = 0.1, 0.05, 5


def kernels(params):
  return {'kernel': True, 'bias': False, 'scale': False}


# What each optimizer is in optax, weight decay included.
REFERENCES = {
  'sgd': lambda: optax.sgd(RATE),
  'momentum': lambda: optax.sgd(RATE, 0.9),
  'nesterov': lambda: optax.sgd(RATE, 0.9, nesterov=True),
  'rmsprop': lambda: optax.rmsprop(RATE, 0.9, eps=1e-8),
  'adam': lambda: optax.adam(RATE),
  'adamw': lambda: optax.adamw(RATE, weight_decay=DECAY, mask=kernels),
}
# Values of each optimizer's fields that are not the defaults.
FIELDS = {
  'sgd': {},
  'momentum': {'momentum': 0.5},
  'nesterov': {'momentum': 0.5},
  'rmsprop': {'decay': 0.7, 'momentum': 0.3, 'epsilon': 1e-3},
  'adam': {'beta1': 0.7, 'beta2': 0.8, 'epsilon': 1e-3},
  'adamw': {'beta1': 0.7, 'beta2': 0.8, 'epsilon': 1e-3},
}
REFERENCES_WITH_FIELDS = {
  'sgd': lambda: optax.sgd(RATE),
  'momentum': lambda: optax.sgd(RATE, 0.5),
  'nesterov': lambda: optax.sgd(RATE, 0.5, nesterov=True),
  'rmsprop': lambda: optax.rmsprop(RATE, 0.7, eps=1e-3, momentum=0.3),
  'adam': lambda: optax.adam(RATE, 0.7, 0.8, 1e-3),
  'adamw': lambda: optax.adamw(
    RATE, 0.7, 0.8, 1e-3, weight_decay=DECAY, mask=kernels
  ),
}


@pytest.fixture(scope='module')
def params():
  return {
    'kernel': jnp.array([[1.0, -2.0], [0.5, 3.0]]),
    'bias': jnp.array([0.3, -0.7]),
    'scale': jnp.array([1.0, 2.0]),
  }


@pytest.fixture(scope='module')
def gradients():
  generator = np.random.default_rng(0)
  shapes = {'kernel': (2, 2), 'bias': (2,), 'scale': (2,)}
  return [
    {
      k: jnp.asarray(generator.normal(size=s), jnp.float32)
      for k, s in shapes.items()
    }
    for _ in range(UPDATES)
  ]


def trajectory(optimizer, params, gradients):
  """Parameters after each update."""
  state = optimizer.init(params)
  path = []
  for gradient in gradients:
    updates, state = optimizer.update(gradient, state, params)
    params = optax.apply_updates(params, updates)
    path.append(params)
  return path


def with_decay(name, reference):
  """The reference with an L2 penalty, where it has no decay of its own."""
  if name in optim.DECOUPLED:
    return reference
  return optax.chain(optax.add_decayed_weights(DECAY, kernels), reference)


def assert_same(ours, theirs):
  # An exact zero in both would hide a difference in the step size.
  assert not np.allclose(ours[-1]['kernel'], ours[0]['kernel'])
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6),
    ours,
    theirs,
  )


def test_tables_have_every_optimizer():
  known = set(optim.OPTIMIZERS)
  assert set(REFERENCES) == set(REFERENCES_WITH_FIELDS) == set(FIELDS) == known


def test_field_table_has_every_field():
  for name, function in optim.OPTIMIZERS.items():
    assert set(FIELDS[name]) == set(registry.arguments(function))


@pytest.mark.parametrize('name', list(REFERENCES))
def test_defaults_are_those_of_optax(name, params, gradients):
  ours = optim.build(name=name, learning_rate=RATE, weight_decay=DECAY)
  theirs = with_decay(name, REFERENCES[name]())
  assert_same(
    trajectory(ours, params, gradients), trajectory(theirs, params, gradients)
  )


@pytest.mark.parametrize('name', list(REFERENCES))
def test_numbers_may_be_traced(name, params, gradients):
  @jax.jit
  def ours(rate, decay, fields):
    optimizer = optim.build(
      name=name, learning_rate=rate, weight_decay=decay, **fields
    )
    return trajectory(optimizer, params, gradients)

  theirs = with_decay(name, REFERENCES_WITH_FIELDS[name]())
  assert_same(
    ours(RATE, DECAY, FIELDS[name]), trajectory(theirs, params, gradients)
  )


def test_decay_acts_on_rank_two_and_more():
  params = {
    'conv': {'kernel': jnp.ones((3, 3, 1, 2)), 'bias': jnp.ones(2)},
    'norm': {'scale': jnp.ones(2)},
    'dense': jnp.ones((2, 2)),
    'scalar': jnp.ones(()),
  }
  assert optim.decayed(params) == {
    'conv': {'kernel': True, 'bias': False},
    'norm': {'scale': False},
    'dense': True,
    'scalar': False,
  }


@pytest.mark.parametrize('traced', [False, True])
def test_gradients_are_clipped_before_the_decay(params, gradients, traced):
  limit = 0.25
  gradient = gradients[0]
  norm = np.sqrt(sum(float((g**2).sum()) for g in gradient.values()))
  assert norm > limit

  def update(clip_norm):
    optimizer = optim.build(
      name='sgd', learning_rate=1.0, weight_decay=DECAY, clip_norm=clip_norm
    )
    return optimizer.update(gradient, optimizer.init(params), params)[0]

  updates = (jax.jit(update) if traced else update)(limit)
  scaled = jax.tree.map(lambda g: g * limit / norm, gradient)
  kernel = -(scaled['kernel'] + DECAY * params['kernel'])
  np.testing.assert_allclose(updates['kernel'], kernel, rtol=1e-5)
  np.testing.assert_allclose(updates['bias'], -scaled['bias'], rtol=1e-5)


def test_small_gradients_are_not_clipped(params, gradients):
  plain = optim.build(name='sgd', learning_rate=RATE)
  clipped = optim.build(name='sgd', learning_rate=RATE, clip_norm=1e3)
  for a, b in zip(
    trajectory(plain, params, gradients),
    trajectory(clipped, params, gradients),
    strict=True,
  ):
    np.testing.assert_array_equal(a['kernel'], b['kernel'])


def factors(total_steps=10, **fields):
  schedule = optim.build_schedule(total_steps=total_steps, **fields)
  rates = optim.LearningRates(1.0, schedule, total_steps)
  return rates.of(0, total_steps)


STEPS = np.arange(10)
COSINE = (1 + np.cos(np.pi * np.minimum(STEPS, 8) / 8)) / 2


@pytest.mark.parametrize(
  'fields, expected',
  [
    ({'name': 'constant'}, np.ones(10)),
    ({'name': 'constant', 'warmup_steps': 1}, np.ones(10)),
    (
      {'name': 'exponential', 'decay_rate': 0.5, 'decay_steps': 4},
      0.5 ** (STEPS / 4),
    ),
    (
      {'name': 'step', 'boundaries': (3, 7), 'decay_rate': 0.5},
      [1] * 3 + [0.5] * 4 + [0.25] * 3,
    ),
    ({'name': 'step', 'boundaries': (9,)}, [1] * 9 + [0.1]),
    (
      {'name': 'cosine', 'decay_steps': 8, 'final_fraction': 0.2},
      0.8 * COSINE + 0.2,
    ),
  ],
  ids=str,
)
def test_schedules_are_their_closed_forms(fields, expected):
  np.testing.assert_allclose(factors(**fields), expected, rtol=1e-5)


def test_decay_steps_are_by_default_those_after_the_warm_up():
  whole = factors(name='exponential', decay_rate=0.5)
  np.testing.assert_allclose(whole, 0.5 ** (STEPS / 10), rtol=1e-6)
  warm = factors(name='exponential', decay_rate=0.5, warmup_steps=4)
  np.testing.assert_allclose(warm[4:], 0.5 ** (STEPS[:6] / 6), rtol=1e-6)


@pytest.mark.parametrize('name', list(optim.SCHEDULES))
def test_warm_up_rises_linearly_and_delays_the_schedule(name):
  fields = {
    'constant': {},
    'exponential': {'decay_rate': 0.5, 'decay_steps': 4},
    'step': {'boundaries': (2,)},
    'cosine': {'decay_steps': 6},
  }[name]
  warm = factors(name=name, warmup_steps=4, **fields)
  np.testing.assert_allclose(warm[:4], [0.25, 0.5, 0.75, 1], rtol=1e-6)
  cold = factors(name=name, **fields)
  np.testing.assert_allclose(warm[4:], cold[:6], rtol=1e-5, atol=1e-6)


def test_warm_up_longer_than_the_run_does_not_fail():
  actual = factors(name='cosine', total_steps=2, warmup_steps=4)
  np.testing.assert_allclose(actual, [0.25, 0.5])


def test_learning_rates_are_the_peak_times_the_factor():
  schedule = optim.build_schedule(name='cosine', total_steps=4)
  rates = optim.LearningRates(0.3, schedule, 4).of(0, 4)
  assert rates.dtype == np.float32 and rates.shape == (4,)
  expected = [0.3 * float(schedule(step)) for step in range(4)]
  np.testing.assert_allclose(rates, expected, rtol=1e-5)


def test_learning_rates_of_a_long_run_come_in_blocks(monkeypatch):
  schedule = optim.build_schedule(name='cosine', total_steps=50)
  whole = optim.LearningRates(0.3, schedule, 50)
  monkeypatch.setattr(optim, 'BLOCK', 7)
  blocks = optim.LearningRates(0.3, schedule, 50)
  assert len(blocks) == 50
  for first, count in ((0, 7), (3, 4), (6, 2), (5, 30), (49, 1)):
    np.testing.assert_allclose(
      blocks.of(first, count), whole.of(first, count), rtol=1e-6
    )
    assert blocks.of(first, count).shape == (count,)
  assert blocks[13] == blocks.of(13, 1)[0]


@pytest.mark.parametrize(
  'path, reference',
  [
    # They decay themselves, kernels alone.
    (
      'optax:adamw',
      lambda: optax.adamw(RATE, b1=0.8, weight_decay=DECAY, mask=kernels),
    ),
    (
      'optax:lion',
      lambda: optax.lion(RATE, b1=0.8, weight_decay=DECAY, mask=kernels),
    ),
    # It has no weight decay of its own.
    (
      'optax:adam',
      lambda: optax.chain(
        optax.add_decayed_weights(DECAY, kernels), optax.adam(RATE, b1=0.8)
      ),
    ),
    # It has no learning rate of its own.
    (
      'optax:scale_by_adam',
      lambda: optax.chain(
        optax.add_decayed_weights(DECAY, kernels), optax.adam(RATE, b1=0.8)
      ),
    ),
  ],
)
def test_a_factory_of_others_is_that_of_optax(
  path, reference, params, gradients
):
  ours = optim.build(
    name=path,
    learning_rate=RATE,
    weight_decay=DECAY,
    options=(('b1', 0.8),),
  )
  assert_same(
    trajectory(ours, params, gradients),
    trajectory(reference(), params, gradients),
  )


def test_a_schedule_of_others_is_behind_the_warm_up():
  schedule = optim.build_schedule(
    name='optax:cosine_decay_schedule',
    total_steps=10,
    warmup_steps=2,
    init_value=1.0,
  )
  ours = optim.build_schedule(name='cosine', total_steps=10, warmup_steps=2)
  np.testing.assert_allclose(schedule(np.arange(10)), ours(np.arange(10)))
