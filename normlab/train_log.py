"""The training rows of a record, and what ends a run early."""

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any

import jax
import ml_collections

from normlab import optim, progress, run, steps
from normlab.journal import Journal

# Seconds between two looks at the metrics: each waits for the device.
FETCH_EVERY = 0.1


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
  """Writes the training rows, at least one call behind the device."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    journal: Journal,
    display: progress.Progress,
    learning_rates: optim.LearningRates,
    window: tuple[dict[str, float], ...] = (),
  ):
    """Continues behind the steps whose values are in `window`."""
    self._config = config
    self._journal = journal
    self._display = display
    self._learning_rates = learning_rates
    # Calls that were dispatched: their metrics, and the parameters' norms
    # where a row ends with them.
    self._pending: list[tuple[int, run.CallMeans, dict[str, jax.Array]]] = []
    self._fetched = time.monotonic()
    self._window = list(window)
    self._clock: Clock | None = None
    self._estimated = False

  @property
  def window(self) -> tuple[dict[str, float], ...]:
    """The values of the steps since the last row."""
    return tuple(self._window)

  def add(self, first: int, means: run.CallMeans, params: steps.Params) -> None:
    """Takes the metrics of a call that was just dispatched.

    Args:
      first: its first step, from 0.
      means: of its steps.
      params: after it.
    """
    if self._clock is None:
      # The first call compiled before it was dispatched; so does this.
      self._norms_of(params)
      self._clock = Clock(first)
    row_ended = bool(self._pending and self._pending[-1][2])
    if row_ended or time.monotonic() - self._fetched > FETCH_EVERY:
      self.flush()
    ends_row = self._ends_row(first + len(means.values))
    norms = self._norms_of(params) if ends_row else {}
    self._pending.append((first, means, norms))

  def flush(self) -> None:
    """Fetches and writes what is pending.

    Raises:
      DivergedError: a loss that is not finite.
    """
    pending, self._pending = self._pending, []
    for first, means, norms in pending:
      for step, values in enumerate(means.rows(), start=first + 1):
        self._step(step, values, norms)
    self._fetched = time.monotonic()

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Leaves what is done in the block out of the training speed."""
    start = time.monotonic()
    yield
    if self._clock is not None:
      self._clock.skip(time.monotonic() - start)

  def _step(
    self, step: int, values: dict[str, float], norms: dict[str, jax.Array]
  ) -> None:
    if not math.isfinite(values['loss']):
      raise DivergedError(step)
    self._window.append(values)
    self._display.step(step, values)
    if self._ends_row(step):
      means = {
        name: sum(row[name] for row in self._window) / len(self._window)
        for name in values
      }
      means |= {name: float(norm) for name, norm in norms.items()}
      means['learning_rate'] = float(self._learning_rates[step - 1])
      self._journal.write(step, 'train', means)
      self._window.clear()
      self._write_speed(step)

  def _norms_of(self, params: steps.Params) -> dict[str, jax.Array]:
    return run.parameter_norms(params, each=self._config.log_layer_norms)

  def _ends_row(self, step: int) -> bool:
    return is_due(step, self._config.log_every) or (
      step == self._config.total_steps
    )

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
