import dataclasses
import functools
import time

import jax
import numpy as np
import pytest

from benchmarks import (
  costs,
  memory,
  pipeline,
  plain_flax,
  timing,
  train,
  train_candidates,
)
from normlab.data.sets import synthetic
from normlab.program import training_step
from normlab.training import preparation

BATCH = 8
TINY = dataclasses.replace(
  train_candidates.CASES[0],
  fields={'widths': (4,)},
  steps=2,
  rounds=1,
)


def parameter_count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def images_of(case, count):
  return train_candidates.standardized(case.examples(count).images)


def plain_shapes(case):
  network = plain_flax.NETWORKS[case.model](**case.fields)
  init = functools.partial(network.init, train=False)
  return jax.eval_shape(init, jax.random.key(0), images_of(case, 1))


def test_the_networks_are_those_of_the_issue_at_both_sizes():
  rows = {(case.model, case.size) for case in train_candidates.CASES}
  assert rows == {
    *((model, size) for model in ('cnn', 'inception') for size in (8, 32)),
    ('resnet18', 32),
  }
  assert len({case.row for case in train_candidates.CASES}) == len(
    train_candidates.CASES
  )


@pytest.mark.parametrize(
  'case', train_candidates.CASES, ids=lambda case: case.row
)
def test_plain_models_are_the_same_networks(case):
  ready = train_candidates.prepare(case, BATCH)
  init = functools.partial(training_step.init_state, program=ready.program)
  images = images_of(case, 1)
  ours = jax.eval_shape(init, ready.init_key, images, ready.hyper)
  plain = plain_shapes(case)
  assert parameter_count(ours.params) == parameter_count(plain['params'])
  assert parameter_count(ours.model_state) == parameter_count(
    plain['batch_stats']
  )


@pytest.mark.parametrize(
  'case', train_candidates.CASES, ids=lambda case: case.row
)
def test_torch_models_are_the_same_networks(case):
  pytest.importorskip('torch')
  from benchmarks import plain_torch

  network = plain_torch.NETWORKS[case.model](**case.fields)
  labels = case.examples(2).labels
  plain_torch.stepper(network, images_of(case, 2), labels, batch_size=2)
  count = sum(p.numel() for p in network.parameters())
  assert count == parameter_count(plain_shapes(case)['params'])


def test_plain_cnn_has_the_logits_of_ours():
  ready = train_candidates.prepare(TINY, BATCH)
  ours = preparation.initial_state(ready)
  layer, statistics = ours.params['layer1'], ours.model_state['batch_stats']
  variables = {
    'params': {
      'Conv_0': layer['conv'],
      'BatchNorm_0': layer['norm'],
      'Dense_0': ours.params['logits'],
    },
    'batch_stats': {'BatchNorm_0': statistics['layer1']['norm']},
  }

  @jax.jit
  def both(ours, theirs, images):
    flags = {'train': True, 'mutable': ['batch_stats']}
    plain = plain_flax.PlainCNN(**TINY.fields)
    return [
      model.apply(variables, images, **flags)[0]
      for model, variables in ((ready.program.model, ours), (plain, theirs))
    ]

  logits, plain = both(
    {'params': ours.params, **ours.model_state},
    variables,
    images_of(TINY, BATCH),
  )
  np.testing.assert_allclose(logits, plain, rtol=1e-4, atol=1e-5)


def test_every_candidate_gets_the_same_turns():
  calls = []
  steppers = {
    name: timing.Stepper(lambda name=name: calls.append(name)) for name in 'ab'
  }
  times = timing.side_by_side(steppers, rounds=2, steps=3)
  assert calls == [*('aaabbb') * 3] and set(times) == {'a', 'b'}


def test_a_stepper_makes_at_least_the_steps_and_waits_for_the_last():
  calls, waited = iter('abcd'), []
  stepper = timing.Stepper(lambda: next(calls), waited.append, steps=25)
  assert stepper.run(60) == 75
  assert waited == ['c']


def test_time_of_a_step_counts_all_steps_of_a_call():
  def wait(_):
    time.sleep(0.02)

  steppers = {
    'many': timing.Stepper(lambda: None, wait, steps=25),
    'one': timing.Stepper(lambda: None, wait),
  }
  times = timing.side_by_side(steppers, rounds=1)
  assert times['many'] < times['one']


def test_where_pytorch_is_faster_the_report_says_what_takes_the_time(
  monkeypatch,
):
  def side_by_side(steppers, **_):
    steppers['normlab'].run(1)
    return {'normlab': 2e-3, 'flax': 4e-3, 'torch': 1e-3}

  monkeypatch.setattr(train, 'CASES', [TINY])
  monkeypatch.setattr(train, 'available', lambda: ['normlab', 'flax', 'torch'])
  torch = {'torch': train_candidates.CANDIDATES['flax']}
  monkeypatch.setattr(train, 'CANDIDATES', train_candidates.CANDIDATES | torch)
  monkeypatch.setattr(train, 'side_by_side', side_by_side)
  report = train.report()
  assert f'| {TINY.row} | 2.00 | 4.00 | 1.00 | 0.50 | 2.00 |' in report
  for kind in ('convolution gradients', 'norms', 'batch, optimizer, metrics'):
    assert f'{kind} ' in report.splitlines()[-1]


def test_where_pytorch_is_not_faster_nothing_is_traced(monkeypatch):
  times = {'normlab': 1.0, 'flax': 2.0, 'torch': 1.0}
  monkeypatch.setattr(train, 'side_by_side', lambda *_, **__: times)
  monkeypatch.setattr(train, 'available', lambda: [])
  assert train.measure(TINY) == (times, '')


PROGRAM = """\
HloModule jit_f
%inside (p: f32[2]) -> f32[2] {
  ROOT %add.1 = f32[2]{0} add(%p, %p), metadata={op_name="jit(f)/add"}
}
%bare (p: f32[2]) -> f32[2] {
  ROOT %copy.1 = f32[2]{0} copy(%p)
}
%kernel (p: f32[2]) -> f32[2] {
  ROOT %convolution.1 = f32[2]{0} convolution(%p, %p), window={size=2x2}
}
ENTRY %main (x: f32[2]) -> f32[2] {
  %x = f32[2]{0} parameter(0)
  %a = f32[2]{0} convolution(%x), metadata={op_name="jit(f)/jvp(N)/layer1/conv/conv_general_dilated"}
  %b = f32[2]{0} custom-call(%a), metadata={op_name="jit(f)/transpose(jvp(N))/layer1/conv/conv_general_dilated"}
  %g = f32[2]{0} fusion(%b), kind=kCustom, calls=%kernel
  %c = f32[2]{0} fusion(%b), kind=kLoop, calls=%inside
  %d = f32[2]{0} fusion(%c), kind=kLoop, calls=%bare
  %e = f32[2]{0} add(%d), metadata={op_name="jit(f)/jvp(N)/layer1/norm/sub"}
  ROOT %f = f32[2]{0} add(%e), metadata={op_name="jit(f)/jvp(N)/logits/dot"}
}
"""  # noqa: E501


def test_operations_are_sorted_by_the_names_in_them():
  kinds = costs.kinds_of(PROGRAM)
  assert {name: kinds[name] for name in 'abcdefg'} == {
    'a': 'convolutions',
    'b': 'convolution gradients',
    'c': 'batch, optimizer, metrics',
    'd': costs.UNNAMED,
    'e': 'norms',
    'f': 'rest of the model',
    'g': 'convolution gradients',
  }


def test_memory_is_measured_in_a_process_of_its_own():
  assert 2**20 < memory.peak(train_candidates.CASES[0], 'flax') < 2**33


def test_the_rate_of_a_stream_is_positive(tmp_path):
  small = functools.partial(synthetic.photo, num_classes=2, width=24, height=24)
  synthetic.write(
    tmp_path, sizes={'train': 16, 'validation': 2}, num_classes=2, encode=small
  )
  rate = pipeline.stream_rate(
    str(tmp_path), workers=0, batch_size=4, batches=2, image_size=8
  )
  assert rate > 0
