"""Members of one program beside the same runs alone, number by number."""

import functools
import json

import jax
import numpy as np
import pytest
import stacked_runs as stacked

from normlab import validation
from normlab.sweeps.runners.stacked import stackable, stacks
from normlab.training import compiled_calls, evaluation, preparation

STEPS = 3
# What all tests share, so that they share its programs too.
SHARED = {'ema_decay': 0.5, 'optimizer.clip_norm': 1.0}
RENORM = {
  'norm.name': 'batch_renorm',
  'norm.r_max': 2.0,
  'norm.d_max': 1.0,
  'norm.epsilon': 1e-3,
}
RAMP = {'norm.name': 'batch_renorm', 'norm.schedule_scale': 1e-4}
NOISE = {
  'norm.name': 'noise',
  'norm.momentum': None,
  'norm.mean_range': 0.5,
  'norm.max_std': 1.5,
  'norm.mean_jitter': 0.1,
  'norm.std_jitter': 0.1,
}
RMSPROP = {
  'optimizer.name': 'rmsprop',
  'optimizer.decay': 0.9,
  'optimizer.epsilon': 1e-3,
}
ADAM = {
  'optimizer.name': 'adam',
  'optimizer.momentum': None,
  'optimizer.beta1': 0.9,
  'optimizer.beta2': 0.99,
  'optimizer.epsilon': 1e-3,
}
EXPONENTIAL = {
  'schedule.name': 'exponential',
  'schedule.decay_rate': 0.5,
  'schedule.decay_steps': 2,
}
STEP = {'schedule.name': 'step', 'schedule.boundaries': (1,)}
# Of every field that may differ: what is the same in both members, its other
# value, and what else is other.
CASES = {
  'seed': ({}, 3),
  'ema_decay': ({}, 0.9),
  'label_smoothing': ({}, 0.3),
  'optimizer.learning_rate': ({}, 0.2),
  'optimizer.learning_rate_multiplier': ({}, 5.0),
  'optimizer.weight_decay': ({}, 0.1),
  'optimizer.clip_norm': ({}, 0.1),
  'optimizer.momentum': ({}, 0.1),
  'optimizer.decay': (RMSPROP, 0.5),
  'optimizer.beta1': (ADAM, 0.5),
  'optimizer.beta2': (ADAM, 0.5),
  'optimizer.epsilon': (ADAM, 0.1),
  'schedule.name': ({}, 'cosine'),
  'schedule.warmup_steps': ({}, 2),
  'schedule.decay_rate': (EXPONENTIAL, 0.1),
  'schedule.decay_steps': (EXPONENTIAL, 1),
  'schedule.boundaries': (STEP, (2,)),
  'schedule.final_fraction': ({'schedule.name': 'cosine'}, 0.5),
  'model.dropout': ({}, 0.5),
  'norm.epsilon': (RENORM, 0.1),
  'norm.momentum': (RENORM, 0.5),
  'norm.r_max': (RENORM, 1.0),
  'norm.d_max': (RENORM, 0.1),
  'norm.schedule_scale': (RAMP, 3e-4),
  'norm.mean_range': (NOISE, 0.1),
  'norm.max_std': (NOISE, 1.1),
  'norm.mean_jitter': (NOISE, 0.5),
  'norm.std_jitter': (NOISE, 0.5),
  'norm.alpha_init': (
    {
      'norm.name': 'dynamic_tanh',
      'norm.momentum': None,
      'norm.alpha_init': 0.5,
    },
    1.0,
  ),
}


mesh_of = stacks.mesh_of


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
  monkeypatch.setattr(stacks, 'mesh_of', lambda members: mesh_of(1))


@functools.cache
def prepared(text):
  """A run, and its state before the first step."""
  ready = preparation.prepare(
    validation.check(stacked.config(**json.loads(text)))
  )
  return ready, jax.device_get(preparation.initial_state(ready))


def alone(fields):
  """The state of a run after some steps, and the metrics of these."""
  ready, before = prepared(json.dumps(fields))
  state, rows = jax.device_put(before), []
  for step in range(STEPS):
    state, metrics = compiled_calls.run_steps(ready, state, step, 1)
    rows.extend(metrics.by_step())
  return jax.device_get(state), rows


def make_stack(members, step=0):
  """The members before a step."""
  runs = [prepared(json.dumps(fields)) for fields in members]
  return stacks.Stack(
    [ready for ready, _ in runs],
    [before.replace(step=np.int32(step)) for _, before in runs],
  )


def pair(**fields):
  """Two members that differ in their seeds."""
  return [{**SHARED, **fields, 'seed': seed} for seed in (0, 1)]


@functools.cache
def family(text):
  """All members whose cases share some fields, after some steps of their stack.

  By the field in which each differs from the first, whose name is ''.
  """
  shared = json.loads(text)
  members = {'': shared}
  for field, (others, value) in CASES.items():
    kind = stackable.kind(stacked.config(**SHARED, **others))
    if kind == stackable.kind(stacked.config(**shared)):
      members[field] = {**SHARED, **others, field: value}
  stack = make_stack(list(members.values()))
  found = [stack.run_steps(step, 1).on_host() for step in range(STEPS)]
  return {
    field: (
      stack.member(i),
      [row for metrics in found for row in metrics.of_member(i).by_step()],
    )
    for i, field in enumerate(members)
  }


def test_every_field_that_may_differ_has_a_case():
  assert tuple(CASES) == stackable.STACKABLE


@pytest.mark.slow  # 43 programs; test_vectorized.py varies fields at once.
@pytest.mark.parametrize('field', stackable.STACKABLE)
def test_a_field_that_may_differ_does_what_it_does_alone(field):
  """In a stack with all other fields of its program."""
  others, value = CASES[field]
  shared = {**SHARED, **others}
  members = family(json.dumps(family_of(shared)))
  state, rows = members[field]
  expected, expected_rows = alone({**shared, field: value})
  stacked.assert_equal_trees(state, expected)
  stacked.assert_equal_rows(rows, expected_rows)
  # Else the case would say nothing of the field.
  other, _ = alone(shared)
  assert not np.allclose(flat(state), flat(other), rtol=1e-3, atol=1e-4)


def family_of(shared):
  """The fields of the first member of a family."""
  return {k: v for k, v in shared.items() if not k.startswith('schedule.')}


def flat(state):
  return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state)])


def test_evaluations_are_those_of_the_members_alone(monkeypatch):
  """On several devices, with each kind of statistics, and the average."""
  monkeypatch.setattr(stacks, 'mesh_of', lambda members: mesh_of(2))
  statistics = ('running', 'batch', 'recalibrated')
  one, other = pair(eval_statistics=statistics, recalibration_examples=64)
  members = [{**one, 'norm.epsilon': 1e-3}, {**other, 'norm.epsilon': 0.5}]
  stack = make_stack(members)
  ready, _ = prepared(json.dumps(members[0]))
  rows = stack.evaluate(ready.feed, 'validation')
  assert {'loss_recalibrated', 'loss_batch', 'loss_ema'} < rows[0].keys()
  for row, fields in zip(rows, members, strict=True):
    ready, state = prepared(json.dumps(fields))
    expected = evaluation.evaluate(ready, jax.device_put(state), 'validation')
    stacked.assert_equal_rows([row], [expected])


def test_a_call_of_several_steps_is_that_of_single_steps():
  """Over the end of an epoch, in which each member has its own order."""
  members = pair(total_steps=100)
  ready, _ = prepared(json.dumps(members[0]))
  steps_per_epoch = ready.feed.inputs(0, 1).orders.shape[-1] // 32
  first = steps_per_epoch - 2
  one, many = make_stack(members, first), make_stack(members, first)
  singles = [one.run_steps(first + i, 1).on_host() for i in range(4)]
  together = many.run_steps(first, 4).on_host()
  assert together.values.shape[:2] == (2, 4)
  np.testing.assert_allclose(
    np.concatenate([metrics.values for metrics in singles], axis=1),
    together.values,
    rtol=1e-4,
  )


def test_a_member_whose_loss_is_not_finite_is_frozen():
  calm, wild = pair()
  stack = make_stack([calm, {**wild, 'optimizer.learning_rate': 1e30}])
  calls = [stack.run_steps(step, 1).on_host() for step in range(4)]
  losses = [call.values[..., call.names.index('loss')] for call in calls]
  finite = np.isfinite(np.concatenate(losses, axis=1))
  assert finite[0].all() and finite[1].tolist() == [True] + [False] * 3
  assert [stack.member(i).step for i in (0, 1)] == [4, 1]
  assert np.isfinite(flat(stack.member(1))).all()


def test_best_states_are_those_of_the_members_that_improved():
  stack, states = make_stack(pair()), []
  for step, improved in enumerate([(True, True), (False, True)]):
    stack.run_steps(step, 1)
    stack.keep_best(improved)
    states.append([stack.member(i) for i in (0, 1)])
  stack.run_steps(2, 1)
  stacked.assert_equal_trees(stack.best(0), states[0][0])
  stacked.assert_equal_trees(stack.best(1), states[1][1])
