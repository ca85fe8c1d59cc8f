"""Training rows, from metrics that are fetched behind the device."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import ml_collections

from normlab.journal.journals import Journal
from normlab.program import optim, training_step
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
    # Findings about the divergence, for the status of the run.
    self.details: dict[str, Any] = {}


class PendingMetrics:
  """The metrics of calls, fetched at least one call behind the device."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    *,
    norms_of: Callable[[], training_step.Metrics],
    on_fetched: Callable[..., None],
  ):
    """Has fetched nothing yet.

    Args:
      norms_of: computes the norms of the parameters as they are now.
      on_fetched: called with what was fetched of each call; see
        `TrainRows.write`.
    """
    self._config = config
    self._norms_of = norms_of
    self._on_fetched = on_fetched
    self._pending: list[
      tuple[int, preparation.CallMetrics, training_step.Metrics]
    ] = []
    self._fetched = time.monotonic()
    # Step and time of the last row, or of the start.
    self._since: tuple[int, float] | None = None

  def add(self, first: int, metrics: preparation.CallMetrics) -> None:
    """Takes the metrics of a call that was just dispatched.

    Args:
      first: its first step, from 0.
    """
    if self._since is None:
      # The first call compiled before it was dispatched; so does this.
      self._norms_of()
      self._since = first, time.monotonic()
    row_ended = bool(self._pending and self._pending[-1][2])
    full = len(self._pending) == MOST_PENDING
    if row_ended or full or time.monotonic() - self._fetched > FETCH_EVERY:
      self.flush()
    step = first + metrics.count
    ends = is_due(step, self._config.log_every)
    ends |= step == self._config.total_steps
    self._pending.append((first, metrics, self._norms_of() if ends else {}))

  def flush(self) -> None:
    """Fetches and hands on what is pending; may raise DivergedError."""
    pending, self._pending = self._pending, []
    for first, metrics, norms in pending:
      metrics, norms = metrics.on_host(), jax.device_get(norms)
      end = first + metrics.count
      rate = self._steps_per_second(end) if norms else 0.0
      self._on_fetched(first, metrics, norms, rate)
    self._fetched = time.monotonic()

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Leaves what is done in the block out of the training speed."""
    start = time.monotonic()
    yield
    if self._since is not None:
      step, since = self._since
      self._since = step, since + time.monotonic() - start

  def _steps_per_second(self, step: int) -> float:
    (before, since), now = self._since, time.monotonic()
    self._since = step, now
    return (step - before) / max(now - since, 1e-9)


class TrainRows:
  """Writes training rows: each is the mean over the steps since the last.

  Attributes:
    window: metrics of the steps since the last row.
  """

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    journal: Journal,
    learning_rates: optim.LearningRates,
    window: tuple[dict[str, float], ...] = (),
  ):
    """Continues behind the steps whose metrics are in `window`."""
    self._batch_size = config.batch_size
    self._journal = journal
    self._learning_rates = learning_rates
    self.window = window

  def write(
    self,
    first: int,
    metrics: preparation.CallMetrics,
    norms: training_step.Metrics,
    rate: float,
  ) -> None:
    """Takes the metrics of a call, and writes the row that ends with it.

    Args:
      first: its first step, from 0.
      metrics: of its steps, on the host.
      norms: of the parameters after it; empty unless a row ends with it.
      rate: steps per second since the row before.

    Raises:
      DivergedError: a loss that is not finite.
    """
    for step, of_step in enumerate(metrics.rows(), start=first + 1):
      if not math.isfinite(of_step['loss']):
        raise DivergedError(step)
      self.window += (of_step,)
    if norms:
      self._write(step, norms)
      images = round(rate * self._batch_size, 1)
      self._journal.write_timing(step, {'images_per_second': images})

  def _write(self, step: int, norms: training_step.Metrics) -> None:
    window, self.window = self.window, ()
    metrics = {
      name: sum(of_step[name] for of_step in window) / len(window)
      for name in window[0]
    }
    metrics |= {name: float(norm) for name, norm in norms.items()}
    metrics['learning_rate'] = float(self._learning_rates[step - 1])
    self._journal.write(step, 'train', metrics)


def is_due(step: int, every: int) -> bool:
  """Whether something that happens every `every` steps happens at `step`."""
  return step % every == 0
