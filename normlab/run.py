"""A run that is ready to start, and its steps on the device."""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from normlab import data, metrics, program, steps

# Jitted once for the process: runs with equal programs share what is compiled.
_jit = functools.partial(jax.jit, static_argnames='program')
# Initializers are long chains of random bits that run once: optimizing them took
# 20 s for the small Inception on one core, and 2 s without.
_init_state = _jit(
  steps.init_state, compiler_options={'xla_backend_optimization_level': 0}
)
_train_step = _jit(steps.train_step, donate_argnames='state')
_train_steps = _jit(steps.train_steps, donate_argnames='state')
_eval_step = _jit(steps.eval_step)


class Run(NamedTuple):
  """A run that is ready to start.

  Attributes:
    program: what is compiled.
    state: before the first step.
    splits: the data set, on the device.
    rows: the examples of a step, by its number.
    learning_rates: float32 [total_steps].
    hyper: the optimizer's other numbers.
    key: of augmentation and dropout.
  """

  program: program.Program
  state: steps.TrainState
  splits: dict[str, data.DeviceSplit]
  rows: Callable[[int], jax.Array]
  learning_rates: np.ndarray
  hyper: dict[str, np.ndarray]
  key: jax.Array


def prepare(config: ml_collections.ConfigDict) -> Run:
  """Loads the data and initializes the model."""
  splits = data.load(config.data.name, config.data.data_dir)
  num_classes = data.describe(
    config.data.name, config.data.data_dir
  ).num_classes
  built = program.build(config, num_classes)
  hyper = program.hyperparameters(config)
  init_key, order_key, step_key = jax.random.split(
    jax.random.key(config.seed), 3
  )
  on_device = data.to_device(splits)
  return Run(
    program=built,
    state=initial_state(init_key, on_device['train'], hyper, built),
    splits=on_device,
    rows=data.ShuffledRows(
      order_key, len(splits['train'].labels), config.batch_size
    ),
    learning_rates=program.learning_rates(config),
    hyper=hyper,
    key=step_key,
  )


def initial_state(
  key: jax.Array,
  split: data.DeviceSplit,
  hyper: dict[str, np.ndarray],
  built: program.Program,
) -> steps.TrainState:
  """The state before the first step, for images like those of `split`."""
  images = split.standardize(split.images[:1])
  return _init_state(key, images, hyper, program=built)


def run_steps(
  run: Run, state: steps.TrainState, first: int, count: int
) -> tuple[steps.TrainState, dict[str, jax.Array]]:
  """Makes `count` updates from step `first` (from 0) in one compiled call."""
  if count == 1:
    rows, rate = run.rows(first), run.learning_rates[first]
    function = _train_step
  else:
    rows = jnp.stack([run.rows(first + i) for i in range(count)])
    rate = run.learning_rates[first : first + count]
    function = _train_steps
  return function(
    state,
    run.splits['train'],
    rows,
    rate,
    run.hyper,
    run.key,
    program=run.program,
  )


def evaluate(
  run: Run, state: steps.TrainState, split: str, batch_size: int
) -> dict[str, float]:
  """Loss and accuracy on a whole split, each example once.

  Args:
    run: program and data.
    state: parameters and running statistics.
    split: 'train', 'validation' or 'test'.
    batch_size: examples at a time.
  """
  examples = run.splits[split]
  count = len(examples.labels)
  sums = None
  for rows, valid in data.ordered_rows(count, min(batch_size, count)):
    part = _eval_step(
      state.params,
      state.model_state,
      examples,
      rows,
      valid,
      program=run.program,
    )
    sums = part if sums is None else jax.tree.map(jnp.add, sums, part)
  return metrics.divide_totals(jax.device_get(sums))


def calls(config: ml_collections.ConfigDict) -> Iterator[tuple[int, int]]:
  """Splits the run into compiled calls: (first step, from 0; number of steps).

  No call crosses an evaluation.
  """
  per_call = config.steps_per_call
  if per_call is None:
    per_call = 1 if jax.default_backend() == 'cpu' else 25
  step = 0
  while step < config.total_steps:
    next_evaluation = (step // config.eval_every + 1) * config.eval_every
    end = min(step + per_call, next_evaluation, config.total_steps)
    yield step, end - step
    step = end
