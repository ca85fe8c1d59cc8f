import jax
import numpy as np
import pytest
from flax import linen as nn
from probed_runs import CLASSES, examples, initial, prepared

from normlab import models, norms
from normlab.models.blocks import ConvNormAct
from normlab.probes import covariate_shift, landscape, precise, subject
from normlab.program import training_step

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


@pytest.mark.parametrize('norm', ['batch', 'weight'])
@pytest.mark.parametrize('name', SMALL)
def test_every_model_is_measured(name, norm):
  hooks = norms.build(name=norm)
  model = models.build(name, num_classes=CLASSES, **hooks, **SMALL[name])
  batch = examples((4, 8, 8, 1))
  # Measuring all of the 54 layers takes 55 backward passes.
  layers = ('logits',)
  run = prepared(model, batch=batch, layers=layers, step_lengths=(1.0,))
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


def products(program, state, here):
  """The operations that accelerators could make less precise."""
  jaxpr = jax.make_jaxpr(
    lambda params: precise.gradient(
      here._replace(program=program), state, params
    )
  )(state.params)
  return [
    line
    for line in str(jaxpr).splitlines()
    if 'dot_general' in line or 'conv_general' in line
  ]
