import jax
import numpy as np
import pytest
import small_runs
from probed_runs import CLASSES, examples, initial, prepared

from normlab import models, norms
from normlab.probes import covariate_shift, landscape, precise, subject
from normlab.program import training_step
from normlab.training import preparation

SMALL = {
  'mlp': {'widths': (6, 4)},
  'cnn': {'widths': (4, 4)},
  'inception': {'width': 1 / 32},
  'resnet18': {'width': 1 / 32, 'small_images': True},
  'resnet50': {'width': 1 / 32},
  'bn_inception': {'width': 1 / 32},
}


def test_every_model_is_small_here():
  assert SMALL.keys() == models.MODELS.keys()


@pytest.mark.parametrize('name', [*map(small_runs.slow_if_deep, SMALL)])
def test_every_model_can_be_measured_in_bfloat16(name):
  """In a trace: the deepest ones take minutes to compile."""
  fields = {**SMALL[name], **norms.build(name='batch')}
  model = models.build(name, num_classes=CLASSES, dtype='bfloat16', **fields)
  batch = examples((4, 8, 8, 1))
  run = prepared(model, batch=batch, layers=('logits',), step_lengths=(1.0,))
  state = jax.eval_shape(lambda: initial(run))
  for probe, count in ((covariate_shift, 2), (landscape, 7)):
    found = jax.eval_shape(
      lambda s, probe=probe: probe.measure(run, s, 0), state
    )
    assert len(found) == count
    assert {value.dtype for value in found.values()} == {np.dtype('float32')}


@pytest.mark.parametrize('norm', ['batch', 'weight'])
def test_convolutions_are_measured(norm):
  run = prepared(small(norm), step_lengths=(1.0,))
  state = initial(run)
  before = jax.tree.map(np.asarray, state)
  for probe in (covariate_shift, landscape):
    for value in probe.measure(run, state, 0).values():
      assert np.isfinite(value).all()
  jax.tree.map(np.testing.assert_array_equal, state, before)


def small(norm='batch', **fields):
  hooks = norms.build(name=norm)
  return models.build(
    'cnn', num_classes=CLASSES, widths=(3, 2), **hooks, **fields
  )


@pytest.mark.parametrize('microbatches', [1, 2])
def test_gradient_is_that_of_training(microbatches):
  run = prepared(small(), microbatches=microbatches)
  state = initial(run)
  here = subject.at(run, 0)
  found, loss = precise.gradient(here, state, state.params)
  train = jax.jit(training_step.accumulated_gradient, static_argnames='program')
  expected, metrics, _ = train(
    state.params,
    state.model_state,
    here.examples,
    here.key,
    program=run.program,
  )
  np.testing.assert_allclose(loss, metrics['loss'], rtol=1e-6)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    found,
    expected,
  )


@pytest.mark.parametrize('dtype', models.DTYPES)
def test_nothing_is_multiplied_with_less_than_float32(dtype):
  run = prepared(small(dtype=dtype))
  here, state = subject.at(run, 0), initial(run)
  traced = jax.make_jaxpr(lambda p: precise.gradient(here, state, p))
  lines = str(traced(state.params)).splitlines()
  assert not any('bf16' in line for line in lines)
  precisions = [line for line in lines if 'precision=' in line]
  assert precisions
  assert all('HIGHEST' in line for line in precisions)


def test_equal_parameters_have_equal_bits():
  run = prepared(small())
  here, state = subject.at(run, 0), initial(run)
  copied = jax.tree.map(lambda p: p + 0, state.params)
  first, second = (
    precise.gradient(here, state, params) for params in (state.params, copied)
  )
  jax.tree.map(np.testing.assert_array_equal, first, second)


def test_all_layers_lengths_and_probes_share_one_program():
  compiled = precise._gradient._cache_size()
  for rate in (0.1, 0.2):
    run = prepared(small(), batch=examples((6, 6, 6, 1)), rate=rate)
    for probe in (covariate_shift, landscape):
      probe.measure(run, initial(run), 0)
  assert precise._gradient._cache_size() == compiled + 1


def test_devices_that_share_a_batch_measure_what_one_does():
  one, two = (
    small_runs.prepared('mlp', 'batch', num_devices=count) for count in (1, 2)
  )
  for probe in (covariate_shift, landscape):
    alone, shared = (
      probe.measure(run, preparation.initial_state(run), 1)
      for run in (one, two)
    )
    for path, value in alone.items():
      np.testing.assert_allclose(shared[path], value, rtol=1e-3, atol=1e-5)
