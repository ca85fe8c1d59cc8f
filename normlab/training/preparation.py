"""A run that is ready to start, and its steps on the devices."""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax import struct

from normlab import data
from normlab.data import feeds
from normlab.program import optim, programs, training_step
from normlab.runtime import devices
from normlab.validation import CheckedConfig

# Jitted once for the process: runs with equal programs share what is compiled.
_jit = functools.partial(jax.jit, static_argnames='program')
# Initializers are long chains of random bits that run once: optimizing them
# took 20 s for the small Inception on one core, and 2 s without.
_init_state = _jit(
  training_step.init_state,
  compiler_options={'xla_backend_optimization_level': 0},
)


class CallMetrics(struct.PyTreeNode):
  """The metrics of the steps of a call, as one array: one to fetch, not five.

  Attributes:
    names: of the metrics.
    values: float32 [steps, names]; of stacked runs [members, steps, names].
  """

  names: tuple[str, ...] = struct.field(pytree_node=False)
  values: jax.Array

  @property
  def count(self) -> int:
    """The number of steps."""
    return self.values.shape[-2]

  def on_host(self) -> 'CallMetrics':
    """The same in the memory of the host; waits for the device."""
    return self.replace(values=np.asarray(self.values))

  def of_member(self, i: int) -> 'CallMetrics':
    """The metrics of one of the stacked runs."""
    return self.replace(values=self.values[i])

  def rows(self) -> list[dict[str, float]]:
    """The metrics of each step; waits for the device."""
    values = np.asarray(self.values).tolist()
    return [dict(zip(self.names, row, strict=True)) for row in values]


@functools.partial(_jit, donate_argnames='state')
def train_steps(
  state: training_step.TrainState,
  inputs: training_step.Inputs,
  standardizer: data.Standardizer,
  hyper: programs.Hyper,
  key: jax.Array,
  *,
  program: programs.Program,
) -> tuple[training_step.TrainState, CallMetrics]:
  """`training_step.train_steps`, compiled; the state is donated."""
  state, metrics = training_step.train_steps(
    state, inputs, standardizer, hyper, key, program=program
  )
  return state, as_call_metrics(metrics)


def as_call_metrics(metrics: training_step.Metrics) -> CallMetrics:
  """The metrics of some steps, [steps] each, as one array."""
  names = tuple(sorted(metrics))
  return CallMetrics(
    names, jnp.stack([metrics[name] for name in names], axis=1)
  )


@functools.partial(jax.jit, static_argnames='each')
def parameter_norms(
  params: training_step.Params, *, each: bool
) -> training_step.Metrics:
  """The norm of all parameters, and of each if asked, compiled."""
  return training_step.euclidean_norms('parameter_norm', params, each=each)


DEFAULT_CHECKPOINT_EVERY = 500
STEPS_PER_CALL = 25


class PreparedRun(NamedTuple):
  """A run that is ready to start.

  Attributes:
    start: where their stream starts.
    standardizer: of their pixels.
    learning_rates: of all steps.
    hyper: the numbers of a step.
    init_key: of the initial parameters.
    key: of augmentation, dropout and noise.
  """

  config: CheckedConfig
  program: programs.Program
  mesh: jax.sharding.Mesh
  data: feeds.Feed
  start: dict[str, Any]
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
    mesh, feed = beside.mesh, beside.data.reordered(order_key)
  description = data.describe(config.data.name, config.data.data_dir)
  hyper = programs.hyperparameters(config)
  standardizer, hyper, step_key = devices.replicate(
    (feed.standardizer, hyper, step_key), mesh
  )
  return PreparedRun(
    config=config,
    program=programs.build(config, description.num_classes),
    mesh=mesh,
    data=feed,
    start=feed.state(),
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
) -> feeds.Feed:
  """The examples of a run; `key` is that of their order."""
  if data.is_streamed(config.data.name):
    return feeds.StreamFeed(config, mesh)
  splits = data.load(config.data.name, config.data.data_dir)
  return feeds.MemoryFeed(splits, key, config.batch_size, mesh)


def initial_state(run: PreparedRun) -> training_step.TrainState:
  """The state before the first step, on all devices."""
  images = np.zeros((1, *run.data.image_shape), np.float32)
  state = _init_state(run.init_key, images, run.hyper, program=run.program)
  return devices.replicate(state, run.mesh)


def run_steps(
  run: PreparedRun, state: training_step.TrainState, first: int, count: int
) -> tuple[training_step.TrainState, CallMetrics]:
  """Makes `count` updates from step `first` (from 0) in one compiled call.

  Streamed examples are the next ones, whatever `first` is.
  """
  return run_inputs(run, state, first, run.data.inputs(first, count), count)


def run_inputs(
  run: PreparedRun,
  state: training_step.TrainState,
  first: int,
  inputs: training_step.Inputs,
  count: int = 1,
) -> tuple[training_step.TrainState, CallMetrics]:
  """Makes updates on examples that are at hand; the state is donated."""
  return train_steps(
    state,
    inputs,
    run.standardizer,
    run.hyper.with_rates(run.learning_rates.of(first, count)),
    run.key,
    program=run.program,
  )


def compiled_step(
  run: PreparedRun, state: training_step.TrainState
) -> jax.stages.Compiled:
  """The compiled call of the run, as `run_steps` makes it."""
  count = min(steps_per_call(run.config), run.config.total_steps)
  traced = train_steps.lower(
    state,
    run.data.inputs(0, count),
    run.standardizer,
    run.hyper.with_rates(run.learning_rates.of(0, count)),
    run.key,
    program=run.program,
  )
  return traced.compile()


def calls(
  config: ml_collections.ConfigDict, start: int = 0
) -> Iterator[tuple[int, int]]:
  """Splits the run into compiled calls: (first step, from 0; number of steps).

  No call crosses a training row, an evaluation or a checkpoint. Where the calls
  from `start` on begin depends on `start` alone, so that a run which is resumed
  after any call makes the calls of one that never stopped.
  """
  per_call = steps_per_call(config)
  periods = config.log_every, config.eval_every, checkpoint_every(config)
  step = start
  while step < config.total_steps:
    stops = [(step // every + 1) * every for every in periods]
    end = min(step + per_call, *stops, config.total_steps)
    yield step, end - step
    step = end


def steps_per_call(config: ml_collections.ConfigDict) -> int:
  """Steps of a call: one on CPU, and where examples are streamed."""
  if config.steps_per_call is not None:
    return config.steps_per_call
  streamed = data.is_streamed(config.data.name)
  return 1 if streamed or jax.default_backend() == 'cpu' else STEPS_PER_CALL


def checkpoint_every(config: ml_collections.ConfigDict) -> int:
  """Steps between two checkpoints."""
  return config.checkpoint_every or DEFAULT_CHECKPOINT_EVERY
