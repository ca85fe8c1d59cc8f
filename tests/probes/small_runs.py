"""Prepared runs of small networks on a few digits, for probes."""

import functools

import jax
import jax.numpy as jnp
import pytest

from configs import base
from normlab import validation
from normlab.program import training_step
from normlab.training import preparation

# Small enough to run, and divisible by what the norms divide by.
SMALL = {
  'mlp': {'widths': (8, 4)},
  'cnn': {'widths': (8, 4)},
  'inception': {'width': 1 / 16},
  'resnet18': {'width': 1 / 16, 'small_images': True},
  'resnet50': {'width': 1 / 16},
  'bn_inception': {'width': 1 / 16},
}
# Tracing them takes seconds.
DEEP = ('resnet18', 'resnet50', 'bn_inception')
FIELDS = {'group': {'num_groups': 2}, 'evonorm_s0': {'num_groups': 2}}


def slow_if_deep(model, *others):
  """A case of a parametrized test."""
  marks = [pytest.mark.slow] if model in DEEP else []
  return pytest.param(model, *others, marks=marks)


def prepared(model='mlp', norm='none', **overrides):
  """A run with batches of 8 and 12 steps; overrides as 'norm.momentum'."""
  config = base.get_config()
  config.model.name, config.norm.name = model, norm
  config.model.update(SMALL[model])
  config.norm.update(FIELDS.get(norm, {}))
  config.num_devices, config.batch_size, config.total_steps = 1, 8, 12
  config.update_from_flattened_dict(overrides)
  return preparation.prepare(validation.check(config))


def abstract_state(run):
  """Shapes of the state before the first step."""
  images = jax.ShapeDtypeStruct((1, *run.feed.image_shape), jnp.float32)
  start = functools.partial(training_step.init_state, program=run.program)
  return jax.eval_shape(start, run.init_key, images, run.hyper)


def variables(state):
  return {'params': state.params, **state.model_state}


def with_leaves(tree, function):
  """The tree with each leaf replaced by function(path, leaf)."""
  leaves = [function(*leaf) for leaf in training_step.named_leaves(tree)]
  return jax.tree.unflatten(jax.tree.structure(tree), leaves)
