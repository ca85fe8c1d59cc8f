"""The training rows of a record, and what ends a run early."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import ml_collections

from normlab.journal.journals import Journal
from normlab.program import optim, training_step
from normlab.runtime import progress_bar
from normlab.training import preparation

# Seconds between two looks at the metrics: each waits for the device.
FETCH_EVERY = 0.1
# Calls that are not fetched. From the 33rd program in flight on simulated
# devices, XLA of JAX 0.10 blocks the threads that run programs by launching
# more.
MOST_PENDING = 16


class DivergedError(Exception):
  """The loss is not finite."""

  def __init__(self, step: int, split: str = 'train'):
    """Notes the step, from 1, and the split whose loss was not finite."""
    super().__init__(f'the {split} loss is not finite at step {step}')
    self.step = step
    self.split = split
    # What is found out about it: goes to the status of the run.
    self.details: dict[str, Any] = {}


class Fetched:
  """The metrics of calls, fetched at least one call behind the device."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    *,
    norms_of: Callable[[training_step.Params], training_step.Means],
    take: Callable[[int, preparation.CallMeans, training_step.Means], None],
  ):
    """Has fetched nothing yet.

    Args:
      config: says where rows end.
      norms_of: computes the norms of the parameters.
      take: is given what was fetched of a call: its first step, from 0, the
        means of its steps, and the norms of the parameters after it, which are
        empty unless a row ends with it.
    """
    self._config = config
    self._norms_of = norms_of
    self._take = take
    self._pending: list[
      tuple[int, preparation.CallMeans, training_step.Means]
    ] = []
    self._fetched = time.monotonic()

  def add(
    self, first: int, means: preparation.CallMeans, params: training_step.Params
  ) -> None:
    """Takes the metrics of a call that was just dispatched.

    Args:
      first: its first step, from 0.
      means: of its steps.
      params: after it.
    """
    row_ended = bool(self._pending and self._pending[-1][2])
    full = len(self._pending) == MOST_PENDING
    if row_ended or full or time.monotonic() - self._fetched > FETCH_EVERY:
      self.flush()
    ends = ends_row(self._config, first + means.count)
    norms = self._norms_of(params) if ends else {}
    self._pending.append((first, means, norms))

  def flush(self) -> None:
    """Fetches and hands on what is pending."""
    pending, self._pending = self._pending, []
    for first, means, norms in pending:
      self._take(first, means.on_host(), jax.device_get(norms))
    self._fetched = time.monotonic()


class TrainRows:
  """Writes the training rows of a run, from the metrics of its steps."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    journal: Journal,
    display: progress_bar.Progress,
    learning_rates: optim.LearningRates,
    window: tuple[dict[str, float], ...] = (),
  ):
    """Continues behind the steps whose values are in `window`."""
    self._config = config
    self._journal = journal
    self._display = display
    self._learning_rates = learning_rates
    self._window = list(window)
    self._clock: Clock | None = None
    self._estimated = False

  @property
  def window(self) -> tuple[dict[str, float], ...]:
    """The values of the steps since the last row."""
    return tuple(self._window)

  def started(self, step: int) -> None:
    """The first call was compiled and dispatched, after `step` updates."""
    self._clock = self._clock or Clock(step)

  def skip(self, seconds: float) -> None:
    """Leaves seconds out of the training speed."""
    if self._clock is not None:
      self._clock.skip(seconds)

  def take(
    self, first: int, means: preparation.CallMeans, norms: training_step.Means
  ) -> None:
    """Writes the rows that end in a call; the arguments are those of `Fetched`.

    Raises:
      DivergedError: a loss that is not finite.
    """
    for step, values in enumerate(means.rows(), start=first + 1):
      if not math.isfinite(values['loss']):
        raise DivergedError(step)
      self._window.append(values)
      self._display.step(step, values)
      if ends_row(self._config, step):
        self._write(step, norms)

  def _write(self, step: int, norms: training_step.Means) -> None:
    means = {
      name: sum(row[name] for row in self._window) / len(self._window)
      for name in self._window[0]
    }
    means |= {name: float(norm) for name, norm in norms.items()}
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
        f'about {progress_bar.duration(left)} of training left, '
        'without evaluations'
      )


class TrainLog:
  """Writes the training rows of one run while its device goes on."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    journal: Journal,
    display: progress_bar.Progress,
    learning_rates: optim.LearningRates,
    window: tuple[dict[str, float], ...] = (),
  ):
    """Continues behind the steps whose values are in `window`."""
    self._norms_of = functools.partial(
      preparation.parameter_norms, each=config.log_layer_norms
    )
    self._rows = TrainRows(config, journal, display, learning_rates, window)
    self._fetched = Fetched(
      config, norms_of=self._norms_of, take=self._rows.take
    )
    self._started = False

  @property
  def window(self) -> tuple[dict[str, float], ...]:
    """The values of the steps since the last row."""
    return self._rows.window

  def add(
    self, first: int, means: preparation.CallMeans, params: training_step.Params
  ) -> None:
    """Takes the metrics of a call; see `Fetched.add`.

    Raises:
      DivergedError: an earlier loss that is not finite.
    """
    if not self._started:
      # The first call compiled before it was dispatched; so does this.
      self._norms_of(params)
      self._rows.started(first)
      self._started = True
    self._fetched.add(first, means, params)

  def flush(self) -> None:
    """Fetches and writes what is pending.

    Raises:
      DivergedError: a loss that is not finite.
    """
    self._fetched.flush()

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Leaves what is done in the block out of the training speed."""
    start = time.monotonic()
    yield
    self._rows.skip(time.monotonic() - start)


def ends_row(config: ml_collections.ConfigDict, step: int) -> bool:
  """Whether a training row ends with this step."""
  return is_due(step, config.log_every) or step == config.total_steps


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
