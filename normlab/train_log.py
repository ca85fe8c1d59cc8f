"""The training rows of a record, and what ends a run early."""

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any

import jax
import ml_collections
import numpy as np

from normlab import progress
from normlab.journal import Journal


class DivergedError(Exception):
  """The loss is not finite."""

  def __init__(self, step: int, split: str = 'train'):
    """Notes the step, from 1, and the split whose loss was not finite."""
    super().__init__(f'the {split} loss is not finite at step {step}')
    self.step = step
    self.split = split
    # What is found out about it: goes to the status of the run.
    self.details: dict[str, Any] = {}


class TrainLog:
  """Writes the training rows, one call behind the device."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    journal: Journal,
    display: progress.Progress,
    learning_rates: np.ndarray,
    window: tuple[dict[str, float], ...] = (),
  ):
    """Continues behind the steps whose values are in `window`."""
    self._config = config
    self._journal = journal
    self._display = display
    self._learning_rates = learning_rates
    self._pending: tuple[int, dict[str, jax.Array]] | None = None
    self._window = list(window)
    self._clock: Clock | None = None
    self._estimated = False

  @property
  def window(self) -> tuple[dict[str, float], ...]:
    """The values of the steps since the last row."""
    return tuple(self._window)

  def add(self, first: int, means: dict[str, jax.Array]) -> None:
    """Takes the metrics of a call that was just dispatched, [steps] each."""
    if self._clock is None:
      # The first call compiled before it was dispatched.
      self._clock = Clock(first)
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
    fetched = jax.device_get(means)
    for i in range(len(fetched['loss'])):
      values = {name: float(value[i]) for name, value in fetched.items()}
      self._step(first + i + 1, values)

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Leaves what is done in the block out of the training speed."""
    start = time.monotonic()
    yield
    if self._clock is not None:
      self._clock.skip(time.monotonic() - start)

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
      self._journal.write(step, 'train', means)
      self._window.clear()
      self._write_speed(step)

  def _write_speed(self, step: int) -> None:
    rate = self._clock.steps_per_second(step)
    images = rate * self._config.batch_size
    self._journal.write_timing(step, {'images_per_second': round(images, 1)})
    if not self._estimated and rate:
      self._estimated = True
      left = (self._config.total_steps - step) / rate
      self._display.note(
        f'speed: {images:,.0f} images a second, {1e3 / rate:.1f} ms a step; '
        f'about {progress.duration(left)} of training left, without evaluations'
      )


class Clock:
  """Steps a second since it was last asked."""

  def __init__(self, step: int):
    """Starts at a step."""
    self._step, self._time = step, time.monotonic()

  def skip(self, seconds: float) -> None:
    """Takes out seconds that were not spent on training."""
    self._time += seconds

  def steps_per_second(self, step: int) -> float:
    """The rate since the last call, or the start."""
    now = time.monotonic()
    rate = (step - self._step) / max(now - self._time, 1e-9)
    self._step, self._time = step, now
    return rate


def is_due(step: int, every: int) -> bool:
  """Whether something that happens every `every` steps happens at `step`."""
  return step % every == 0
