import dataclasses
import functools
import os

import jax
import numpy as np
import pytest

from normlab import data, run
from normlab.benchmarks import (
  costs,
  memory,
  pipeline,
  plain_flax,
  timing,
  train,
  train_candidates,
  train_cases,
)
from normlab.data import synthetic

BATCH = 8
TINY = dataclasses.replace(
  train_cases.CASES[0],
  fields={'widths': (4, 6)},
  plain=((4, 6),),
  steps=2,
  rounds=1,
)


def parameter_count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def plain_shapes(case):
  network = plain_flax.NETWORKS[case.model](*case.plain)
  images = case.examples(1).floats
  init = functools.partial(network.init, train=False)
  return jax.eval_shape(init, jax.random.key(0), images)


@pytest.fixture(scope='module')
def steppers():
  return {
    who: train_candidates.CANDIDATES[who](TINY, BATCH)
    for who in train_candidates.available()
  }


def test_the_networks_are_those_of_the_issue_at_both_sizes():
  rows = {(case.model, case.size) for case in train_cases.CASES}
  assert rows == {
    *((model, size) for model in ('cnn', 'inception') for size in (8, 32)),
    ('resnet18', 32),
  }
  assert len({case.row for case in train_cases.CASES}) == len(train_cases.CASES)


@pytest.mark.parametrize('case', train_cases.CASES, ids=lambda case: case.row)
def test_plain_models_are_the_same_networks(case):
  ready = train_candidates.prepare(case, BATCH)
  ours = jax.eval_shape(lambda: run.initial_state(ready))
  plain = plain_shapes(case)
  assert parameter_count(ours.params) == parameter_count(plain['params'])
  assert parameter_count(ours.model_state) == parameter_count(
    plain['batch_stats']
  )


@pytest.mark.parametrize('case', train_cases.CASES, ids=lambda case: case.row)
def test_torch_models_are_the_same_networks(case):
  pytest.importorskip('torch')
  from normlab.benchmarks import plain_torch

  network = plain_torch.NETWORKS[case.model](case.channels, *case.plain)
  count = sum(p.numel() for p in network.parameters())
  assert count == parameter_count(plain_shapes(case)['params'])


def test_plain_cnn_has_the_logits_of_ours():
  ready = train_candidates.prepare(TINY, BATCH)
  ours = run.initial_state(ready)
  theirs = {'params': {}, 'batch_stats': {}}
  for i in range(2):
    layer = f'layer{i + 1}'
    theirs['params'][f'Conv_{i}'] = ours.params[layer]['conv']
    theirs['params'][f'BatchNorm_{i}'] = ours.params[layer]['norm']
    statistics = ours.model_state['batch_stats'][layer]['norm']
    theirs['batch_stats'][f'BatchNorm_{i}'] = statistics
  theirs['params']['Dense_0'] = ours.params['logits']
  images = TINY.examples(BATCH).floats
  variables = {'params': ours.params, **ours.model_state}
  logits, _ = ready.program.model.apply(
    variables, images, train=True, mutable=['batch_stats']
  )
  plain, _ = plain_flax.PlainCNN(*TINY.plain).apply(
    theirs, images, True, mutable=['batch_stats']
  )
  np.testing.assert_allclose(logits, plain, rtol=1e-4, atol=1e-5)


def test_ours_makes_the_steps_of_the_trainer():
  ready = train_candidates.prepare(TINY, BATCH)
  first, second = (count for _, count in [*zip(range(2), run.calls(ready.config), strict=False)])
  assert first == second == (0, 1) or first[1] == second[1]
  assert ready.data.image_shape == (8, 8, 1)
