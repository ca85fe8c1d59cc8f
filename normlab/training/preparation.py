"""Prepares a run: opens its data, builds its program, numbers and keys."""

from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from normlab import data
from normlab.data.memory_feed import MemoryFeed
from normlab.data.stream_feed import StreamFeed
from normlab.program import optim, programs, training_step
from normlab.runtime import devices
from normlab.validation import CheckedConfig

# Initializers are long chains of random bits that run once: optimizing them
# took 20 s for the small Inception on one core, and 2 s without.
_init_state = jax.jit(
  training_step.init_state,
  static_argnames='program',
  compiler_options={'xla_backend_optimization_level': 0},
)


Feed = MemoryFeed | StreamFeed


class PreparedRun(NamedTuple):
  """A run that is ready to start.

  Attributes:
    feed: its examples.
    stream_start: state of the feed at the first step.
    learning_rates: of all steps.
    hyper: the numbers of a step.
    init_key: of the initial parameters.
    key: of augmentation, dropout and noise.
  """

  config: CheckedConfig
  program: programs.Program
  mesh: jax.sharding.Mesh
  feed: Feed
  stream_start: dict[str, Any]
  standardizer: data.Standardizer
  learning_rates: optim.LearningRates
  hyper: programs.Hyper
  init_key: jax.Array
  key: jax.Array


class Keys(NamedTuple):
  """The random keys of a run: parameters, order of the examples, steps."""

  init: jax.Array
  order: jax.Array
  step: jax.Array


def keys(config: ml_collections.ConfigDict) -> Keys:
  """The keys that follow from the seed."""
  return Keys(*jax.random.split(jax.random.key(config.seed), 3))


def prepare(
  config: CheckedConfig, beside: PreparedRun | None = None
) -> PreparedRun:
  """Opens the data, and puts what fits on the devices.

  Args:
    beside: a run on the same data in memory, whose devices and examples this
      one shares.
  """
  init_key, order_key, step_key = keys(config)
  if beside is None:
    mesh = devices.mesh(devices.count(config))
    feed = open_feed(config, order_key, mesh)
  else:
    mesh, feed = beside.mesh, beside.feed.reordered(order_key)
  description = data.describe(config.data.name, config.data.data_dir)
  hyper = programs.hyperparameters(config)
  standardizer, hyper, step_key = devices.replicate(
    (feed.standardizer, hyper, step_key), mesh
  )
  return PreparedRun(
    config=config,
    program=programs.build(config, description.num_classes),
    mesh=mesh,
    feed=feed,
    stream_start=feed.state(),
    standardizer=standardizer,
    learning_rates=programs.learning_rates(config),
    hyper=hyper,
    init_key=init_key,
    key=step_key,
  )


def open_feed(
  config: ml_collections.ConfigDict,
  key: jax.Array,
  mesh: jax.sharding.Mesh,
) -> Feed:
  """The examples of a run; `key` is that of their order."""
  if data.is_streamed(config.data.name):
    return StreamFeed(config, mesh)
  splits = data.load(config.data.name, config.data.data_dir)
  return MemoryFeed(splits, key, config.batch_size, mesh)


def initial_state(run: PreparedRun) -> training_step.TrainState:
  """The state before the first step, on all devices."""
  images = np.zeros((1, *run.feed.image_shape), np.float32)
  state = _init_state(run.init_key, images, run.hyper, program=run.program)
  return devices.replicate(state, run.mesh)
