"""The training rows of a record, and what ends a run early."""

import math

import jax
import ml_collections
import numpy as np

from normlab.progress import Progress
from normlab.writers import Writer


class DivergedError(Exception):
  """The loss is not finite."""

  def __init__(self, step: int):
    """Notes the step, from 1, whose loss was not finite."""
    super().__init__(f'the loss is not finite at step {step}')
    self.step = step


class TrainLog:
  """Writes the training rows, one call behind the device."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    writer: Writer,
    display: Progress,
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
