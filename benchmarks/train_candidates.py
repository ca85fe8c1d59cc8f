"""The networks that are timed, and the training loops that are compared."""

import dataclasses
import functools
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import jax
import ml_collections
import numpy as np

from benchmarks.timing import Stepper
from configs import base
from normlab import data, validation
from normlab.data.memory_feed import MemoryFeed
from normlab.program import periods
from normlab.runtime import devices
from normlab.training import compiled_calls, preparation
from normlab.training.compiled_calls import PendingMetrics

EXAMPLES = 1_024
# More than any benchmark makes.
TOTAL_STEPS = 1_000_000


@dataclasses.dataclass(frozen=True)
class Case:
  """A network to time.

  Attributes:
    row: its name in the table.
    model: its name in `models.MODELS`, and in `NETWORKS` of the plain loops.
    size: height and width of the images, in pixels.
    channels: of the images.
    fields: of the model.
    steps: of a turn, on a CPU.
    rounds: number of turns of each candidate.
  """

  row: str
  model: str
  size: int
  channels: int
  fields: Mapping[str, Any]
  steps: int = 1
  rounds: int = 7

  def examples(self, count: int = EXAMPLES) -> data.Examples:
    """Random pixels, with the labels in turn."""
    shape = (count, self.size, self.size, self.channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return data.Examples(pixels, (np.arange(count) % 10).astype(np.int32))


CNN = {'widths': (32, 64, 128)}
SIXTH = {'width': 1 / 6}
CASES = (
  Case('cnn, digits size', 'cnn', 8, 1, CNN, steps=50),
  Case('inception 1/6, digits size', 'inception', 8, 1, SIXTH, steps=25),
  Case('cnn, CIFAR size', 'cnn', 32, 3, CNN, steps=5, rounds=5),
  Case('inception 1/6, CIFAR size', 'inception', 32, 3, SIXTH, 3, rounds=5),
  Case(
    *('resnet18, CIFAR size', 'resnet18', 32, 3, {'small_images': True}),
    rounds=3,
  ),
)


def batch_size() -> int:
  """Examples per step: few suit a CPU core, many an accelerator."""
  return 32 if jax.default_backend() == 'cpu' else 128


def config_of(case: Case, batch_size: int) -> ml_collections.ConfigDict:
  """The config of a long run on one device, without evaluations."""
  config = base.get_config()
  config.batch_size = batch_size
  config.total_steps = config.eval_every = TOTAL_STEPS
  config.checkpoint_every = TOTAL_STEPS
  config.num_devices = 1
  config.norm.momentum = 0.9
  config.model.name = case.model
  config.model.update(case.fields)
  return config


def prepare(case: Case, batch_size: int) -> preparation.PreparedRun:
  """`preparation.prepare` of a run on the examples of the case."""
  config = validation.check(config_of(case, batch_size))
  run = preparation.prepare(config)
  splits = {'train': case.examples()}
  key = preparation.keys(config).order
  feed = MemoryFeed(splits, key, batch_size, run.mesh)
  return run._replace(
    feed=feed,
    standardizer=devices.replicate(feed.standardizer, run.mesh),
  )


def trainer(case: Case, batch_size: int) -> Stepper:
  """Our loop between evaluations; it fetches the metrics too."""
  run = prepare(case, batch_size)
  state = preparation.initial_state(run)
  log = PendingMetrics(
    run.config,
    norms_of=lambda: compiled_calls.parameter_norms(state.params, each=False),
  )
  calls = periods.calls(run.config)

  def call() -> compiled_calls.CallMetrics:
    nonlocal state
    first, count = next(calls)
    state, metrics = compiled_calls.run_steps(run, state, first, count)
    if log.is_ready():
      list(log.fetch())
    log.add(first, metrics)
    return metrics

  return Stepper(
    call,
    steps=periods.steps_per_call(run.config),
    program_text=lambda: compiled_calls.compiled_step(run, state).as_text(),
  )


def plain(module: str, case: Case, batch_size: int) -> Stepper:
  """The loop that one writes without this library."""
  loop = importlib.import_module(module)
  network = loop.NETWORKS[case.model](**case.fields)
  pixels, labels = case.examples()
  return loop.stepper(network, standardized(pixels), labels, batch_size)


def standardized(pixels: np.ndarray) -> np.ndarray:
  """Random pixels as float32, with mean 0 and deviation 1."""
  return (pixels.astype(np.float32) / 255 - 0.5) / 0.29


CANDIDATES: dict[str, Callable[[Case, int], Stepper]] = {
  'normlab': trainer,
  'flax': functools.partial(plain, 'benchmarks.plain_flax'),
  'torch': functools.partial(plain, 'benchmarks.plain_torch'),
}


def available() -> list[str]:
  """All, without PyTorch if it is not installed or lacks JAX's device."""
  if importlib.util.find_spec('torch') is not None:
    from benchmarks import plain_torch

    if plain_torch.device() is not None:
      return [*CANDIDATES]
  return [who for who in CANDIDATES if who != 'torch']
