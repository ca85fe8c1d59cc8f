"""Who is timed beside whom: our trainer, plain Flax and optax, PyTorch."""

import importlib.util
from collections.abc import Callable

import jax
import ml_collections

from benchmarks import plain_flax
from benchmarks.timing import Stepper
from benchmarks.train_cases import Case
from normlab import data
from normlab.data import feeds
from normlab.program import programs
from normlab.runtime import devices
from normlab.training import preparation
from normlab.training.training_rows import TrainLog, TrainRows

# More than any benchmark makes.
TOTAL_STEPS = 1_000_000


class Nowhere:
  """Takes the rows of a training log, and writes none."""

  def write(self, step: int, split: str, values: dict[str, float]) -> None:
    """Ignores a row."""

  def write_timing(self, step: int, values: dict[str, float]) -> None:
    """Ignores a speed."""


def config_of(case: Case, batch_size: int) -> ml_collections.ConfigDict:
  """The config of a long run on one device, without evaluations.

  With the fields that training reads; a config file has all.
  """
  return ml_collections.ConfigDict(
    {
      'seed': 0,
      'batch_size': batch_size,
      'total_steps': TOTAL_STEPS,
      'eval_every': TOTAL_STEPS,
      'checkpoint_every': TOTAL_STEPS,
      'log_every': 50,
      'steps_per_call': None,
      'num_devices': 1,
      'microbatches': 1,
      'ema_decay': None,
      'label_smoothing': None,
      'log_layer_norms': False,
      'data': {'name': 'digits', 'random_crop': 0, 'random_flip': False},
      'model': {'name': case.model, **case.fields},
      'norm': {'name': 'batch', 'momentum': 0.9},
      'optimizer': {
        'name': 'momentum',
        'learning_rate': 0.03,
        'learning_rate_multiplier': 1.0,
        'weight_decay': 0.0,
      },
      'schedule': {'name': 'constant', 'warmup_steps': 0},
    }
  )


def prepare(case: Case, batch_size: int) -> preparation.Run:
  """As `preparation.prepare`, with the examples of the case."""
  config = config_of(case, batch_size)
  mesh = devices.mesh(config.num_devices)
  init_key, order_key, key = preparation.keys(config)
  pixels, _, labels = case.examples()
  splits = {'train': data.Examples(pixels, labels)}
  feed = feeds.MemoryFeed(splits, order_key, batch_size, mesh)
  hyper = programs.hyperparameters(config)
  statistics, hyper, key = devices.replicate((feed.pixels, hyper, key), mesh)
  return preparation.Run(
    config=config,
    program=programs.build(config, 10),
    mesh=mesh,
    data=feed,
    start=feed.state(),
    pixels=statistics,
    learning_rates=programs.learning_rates(config),
    hyper=hyper,
    init_key=init_key,
    key=key,
  )


def trainer(case: Case, batch_size: int) -> Stepper:
  """What `loop.steps` does between evaluations, metrics and log included."""
  ready = prepare(case, batch_size)
  config, state = ready.config, preparation.initial_state(ready)
  rows = TrainRows(config, Nowhere(), ready.learning_rates)
  log = TrainLog(
    config,
    norms_of=lambda: preparation.parameter_norms(state.params, each=False),
    take=rows.take,
  )
  calls = preparation.calls(config)

  def call() -> None:
    nonlocal state
    first, count = next(calls)
    state, metrics = preparation.run_steps(ready, state, first, count)
    log.add(first, metrics)

  return Stepper(
    call,
    lambda: jax.block_until_ready(state),
    steps=preparation.steps_per_call(config),
    program_text=lambda: preparation.compiled_step(ready, state).as_text(),
  )


def flax(case: Case, batch_size: int) -> Stepper:
  """The loop that one writes with `flax.linen` and optax."""
  network = plain_flax.NETWORKS[case.model](*case.plain)
  _, floats, labels = case.examples()
  return plain_flax.stepper(network, floats, labels, batch_size)


def torch(case: Case, batch_size: int) -> Stepper:
  """The loop that one writes with PyTorch."""
  from benchmarks import plain_torch

  network = plain_torch.NETWORKS[case.model](case.channels, *case.plain)
  _, floats, labels = case.examples()
  return plain_torch.stepper(network, floats, labels, batch_size)


CANDIDATES: dict[str, Callable[[Case, int], Stepper]] = {
  'normlab': trainer,
  'flax': flax,
  'torch': torch,
}


def available() -> list[str]:
  """Who can take part: all, or all but PyTorch.

  That is where it is not installed, or lacks the device that JAX uses.
  """
  found = [*CANDIDATES]
  if importlib.util.find_spec('torch') is None or not _torch_has_device():
    found.remove('torch')
  return found


def _torch_has_device() -> bool:
  import torch

  backend = jax.default_backend()
  return backend == 'cpu' or (backend == 'gpu' and torch.cuda.is_available())
