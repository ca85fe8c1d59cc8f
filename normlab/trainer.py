"""Trains one run: a config and a work directory in, a record out."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from normlab import data, metrics, program, records, steps, validation
from normlab import progress as progress_lib
from normlab.writers import (
  JsonLinesWriter,
  MultiWriter,
  TensorBoardWriter,
  Writer,
)

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


class DivergedError(Exception):
  """The loss is not finite."""

  def __init__(self, step: int):
    """Notes the step, from 1, whose loss was not finite."""
    super().__init__(f'the loss is not finite at step {step}')
    self.step = step


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


def train(
  config: ml_collections.ConfigDict,
  workdir: str,
  *,
  progress: Callable[[int], progress_lib.Progress] | None = None,
) -> records.Record:
  """Trains the run of `config` in `workdir`, or returns it if it is finished.

  A run that did not finish is started again, with the same numbers.

  Args:
    config: as in `configs/base.py`.
    workdir: the run's folder; created where it is missing.
    progress: makes what shows the progress, from the number of steps; default:
      a bar or lines on standard error.

  Returns:
    The record; its status is 'done', or 'diverged' with the step.

  Raises:
    names.ConfigError: a config that cannot be trained; nothing is written.
    records.RecordError: a folder that cannot be used; nothing is written.
  """
  record = records.Record(workdir)
  record.check_usable(config)
  validation.check(config)
  if record.is_finished:
    return record
  with record.locked(), recorded(record, config) as writer:
    with contextlib.closing(
      (progress or progress_lib.for_terminal)(config.total_steps)
    ) as display:
      loop(config, prepare(config), writer, display)
  return record


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


def loop(
  config: ml_collections.ConfigDict,
  run: Run,
  writer: Writer,
  display: progress_lib.Progress,
) -> steps.TrainState:
  """Trains from the first step to the last; returns the final state.

  The metrics of a call are fetched after the next call is dispatched, so that
  the device never waits for this loop.

  Raises:
    DivergedError: a loss that is not finite.
  """
  state = run.state
  log = TrainLog(config, writer, display, run.learning_rates)
  for first, count in calls(config):
    state, means = run_steps(run, state, first, count)
    log.add(first, means)
    last = first + count
    if is_due(last, config.eval_every) or last == config.total_steps:
      log.flush()
      evaluate(config, run, state, last, 'validation', writer, display)
  evaluate(config, run, state, config.total_steps, 'test', writer, display)
  return state


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
  config: ml_collections.ConfigDict,
  run: Run,
  state: steps.TrainState,
  step: int,
  split: str,
  writer: Writer,
  display: progress_lib.Progress,
) -> dict[str, float]:
  """Loss and accuracy on a whole split, each example once; written down.

  Raises:
    DivergedError: a loss that is not finite.
  """
  examples = run.splits[split]
  size = min(config.eval_batch_size, len(examples.labels))
  sums = None
  for rows, valid in data.ordered_rows(len(examples.labels), size):
    part = _eval_step(
      state.params,
      state.model_state,
      examples,
      rows,
      valid,
      program=run.program,
    )
    sums = part if sums is None else jax.tree.map(jnp.add, sums, part)
  values = metrics.divide_totals(jax.device_get(sums))
  writer.write(step, split, values)
  display.evaluated(step, split, values)
  if not math.isfinite(values['loss']):
    raise DivergedError(step)
  return values


class TrainLog:
  """Writes the training rows, one call behind the device."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    writer: Writer,
    display: progress_lib.Progress,
    learning_rates: np.ndarray,
  ):
    """Starts with no step."""
    self._config = config
    self._writer = writer
    self._display = display
    self._learning_rates = learning_rates
    self._pending: tuple[int, dict[str, jax.Array]] | None = None
    self._window: list[dict[str, float]] = []

  def add(self, first: int, means: dict[str, jax.Array]) -> None:
    """Takes the metrics of a call that was just dispatched."""
    self.flush()
    self._pending = first, means

  def flush(self) -> None:
    """Fetches and writes what is pending.

    Raises:
      DivergedError: a loss that is not finite.
    """
    if self._pending is None:
      return
    first, means = self._pending
    self._pending = None
    fetched = {k: np.atleast_1d(v) for k, v in jax.device_get(means).items()}
    for i in range(len(fetched['loss'])):
      values = {name: float(value[i]) for name, value in fetched.items()}
      self._step(first + i + 1, values)

  def _step(self, step: int, values: dict[str, float]) -> None:
    if not math.isfinite(values['loss']):
      raise DivergedError(step)
    self._window.append(values)
    self._display.step(step, values)
    if is_due(step, self._config.log_every) or step == self._config.total_steps:
      means = {
        name: sum(row[name] for row in self._window) / len(self._window)
        for name in values
      }
      means['learning_rate'] = float(self._learning_rates[step - 1])
      self._writer.write(step, 'train', means)
      self._window.clear()


def is_due(step: int, every: int) -> bool:
  """Whether something that happens every `every` steps happens at `step`."""
  return step % every == 0


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


@contextlib.contextmanager
def recorded(
  record: records.Record, config: ml_collections.ConfigDict
) -> Iterator[Writer]:
  """Opens the record of a run, and writes down how the run ends."""
  start = time.monotonic()
  for stale in record.path.glob('events.out.tfevents.*'):
    stale.unlink()
  record.write_config(config)
  record.write_status('running')
  writer = MultiWriter(
    [
      JsonLinesWriter(record.path / records.METRICS),
      TensorBoardWriter(record.path),
    ]
  )

  def end(status: str, **details: Any) -> None:
    writer.close()
    seconds = round(time.monotonic() - start, 2)
    record.write_status(status, **details, seconds=seconds)

  try:
    yield writer
  except DivergedError as error:
    end('diverged', step=error.step)
  except KeyboardInterrupt:
    end('interrupted', step=record.last_step())
    raise
  except Exception as error:
    end('failed', step=record.last_step(), error=repr(error))
    raise
  else:
    end('done', step=config.total_steps)
