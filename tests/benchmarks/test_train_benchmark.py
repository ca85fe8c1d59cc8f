import dataclasses
import functools
import sys
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
  train_cases,
)
from normlab.data.sets import synthetic
from normlab.program import training_step
from normlab.training import preparation

BATCH = 8
TINY = dataclasses.replace(
  train_cases.CASES[0],
  fields={'widths': (4,)},
  plain=((4,),),
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
  init = functools.partial(training_step.init_state, program=ready.program)
  images = case.examples(1).floats
  ours = jax.eval_shape(init, ready.init_key, images, ready.hyper)
  plain = plain_shapes(case)
  assert parameter_count(ours.params) == parameter_count(plain['params'])
  assert parameter_count(ours.model_state) == parameter_count(
    plain['batch_stats']
  )


@pytest.mark.parametrize('case', train_cases.CASES, ids=lambda case: case.row)
def test_torch_models_are_the_same_networks(case):
  pytest.importorskip('torch')
  from benchmarks import plain_torch

  network = plain_torch.NETWORKS[case.model](case.channels, *case.plain)
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
    plain = plain_flax.PlainCNN(*TINY.plain)
    return [
      model.apply(variables, images, **flags)[0]
      for model, variables in ((ready.program.model, ours), (plain, theirs))
    ]

  logits, plain = both(
    {'params': ours.params, **ours.model_state},
    variables,
    TINY.examples(BATCH).floats,
  )
  np.testing.assert_allclose(logits, plain, rtol=1e-4, atol=1e-5)


def test_every_candidate_gets_the_same_turns():
  calls = []
  times = timing.side_by_side(
    {name: lambda name=name: calls.append(name) for name in 'ab'},
    rounds=2,
    calls=3,
  )
  assert calls == ['a', 'b', *('aaabbb') * 2] and set(times) == {'a', 'b'}


def test_a_stepper_makes_at_least_the_steps_and_waits_once():
  said = []
  stepper = timing.Stepper(
    lambda: said.append('call'), lambda: said.append('wait'), steps=25
  )
  stepper.run(60)
  assert said == ['call'] * 3 + ['wait']


def test_time_of_a_step_counts_all_steps_of_a_call():
  steppers = {
    'many': timing.Stepper(lambda: None, lambda: time.sleep(0.02), steps=25),
    'one': timing.Stepper(lambda: None, lambda: time.sleep(0.02)),
  }
  times = timing.steps_side_by_side(steppers, rounds=1, steps=1)
  assert times['many'] < times['one']


@pytest.fixture(scope='module')
def table():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(memory, 'peaks', lambda row, who: dict.fromkeys(who, 64.0))
    patch.setattr(train, 'is_slower', lambda times: True)
    return train.table([TINY])


def test_a_row_has_time_ratio_rate_and_memory_of_everyone(table):
  rows, _ = table
  everyone = train_candidates.available()
  others = [who for who in everyone if who != 'normlab']
  assert [*rows] == [
    'model',
    *(f'{who} (ms)' for who in everyone),
    *(f'normlab / {who}' for who in others),
    *(f'{who} (images/s)' for who in everyone),
    *(f'{who} peak (MiB)' for who in everyone),
  ]
  assert rows['model'][0] in train.markdown(rows)


def test_where_pytorch_is_faster_the_report_says_what_takes_the_time(table):
  _, (line,) = table
  for kind in ('convolution gradients', 'norms', 'batch, optimizer, metrics'):
    assert kind in line


def test_slower_is_slower_than_pytorch_on_a_cpu():
  assert train.is_slower({'normlab': 2.0, 'torch': 1.0})
  assert not train.is_slower({'normlab': 1.0, 'torch': 2.0})
  assert not train.is_slower({'normlab': 2.0, 'flax': 1.0})


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
  (peak,) = memory.peaks(train_cases.CASES[0].row, ['flax']).values()
  assert 1 < peak < 8_192


def test_a_failed_process_is_an_error(monkeypatch):
  monkeypatch.setattr(sys, 'executable', 'false')
  with pytest.raises(RuntimeError, match='memory of flax, some row'):
    memory.peaks('some row', ['flax'])


def test_the_rate_of_a_stream_is_positive(tmp_path):
  small = functools.partial(synthetic.photo, num_classes=2, width=24, height=24)
  synthetic.write(
    tmp_path, sizes={'train': 16, 'validation': 2}, num_classes=2, encode=small
  )
  rate = pipeline.stream_rate(
    str(tmp_path), workers=0, batch_size=4, batches=2, image_size=8
  )
  assert rate > 0
