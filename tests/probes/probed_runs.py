"""Runs for probes: a model, eight examples, and the numbers of a step."""

import types

import jax
import numpy as np

from normlab import data
from normlab.program import training_step
from normlab.program.programs import Hyper, Program

CLASSES = 3


def examples(shape=(8, 6, 6, 1), seed=0):
  generator = np.random.default_rng(seed)
  images = generator.integers(0, 256, shape, np.uint8)
  labels = generator.integers(0, CLASSES, len(images)).astype(np.int32)
  return data.Examples(images, labels)


def prepared(
  model,
  *,
  batch=None,
  rate=0.1,
  optimizer='momentum',
  layers=None,
  step_lengths=None,
  microbatches=1,
  **numbers,
):
  """A run as probes see it; `numbers` are those of the optimizer."""
  batch = batch or examples()
  hyper = Hyper({'learning_rate': np.float32(rate), **numbers})
  rates = types.SimpleNamespace(of=lambda step, n: np.full(n, rate, 'float32'))
  probes = types.SimpleNamespace(layers=layers, step_lengths=step_lengths)
  return types.SimpleNamespace(
    config=types.SimpleNamespace(total_steps=10, probes=probes),
    program=Program(model, optimizer, microbatches=microbatches),
    feed=types.SimpleNamespace(upcoming=lambda step: batch),
    standardizer=data.pixel_statistics(batch.images),
    learning_rates=rates,
    hyper=hyper,
    key=jax.random.key(3),
  )


def initial(run):
  """The state before the first step."""
  batch = run.feed.upcoming(0)
  images = run.standardizer.standardize(batch.images[:2])
  start = jax.jit(training_step.init_state, static_argnames='program')
  return start(jax.random.key(7), images, run.hyper, program=run.program)
