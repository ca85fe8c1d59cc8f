"""Training rows of the record, from the metrics of calls."""

import math
from typing import Any

import ml_collections

from normlab.journal.journals import Journal
from normlab.program import optim, training_step
from normlab.training.compiled_calls import FetchedCall


class DivergedError(Exception):
  """The loss is not finite."""

  def __init__(self, step: int, split: str = 'train'):
    """Notes the step, from 1, and the split whose loss was not finite."""
    super().__init__(f'the {split} loss is not finite at step {step}')
    self.step = step
    self.split = split
    # Findings about the divergence, for the status of the run.
    self.details: dict[str, Any] = {}


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

  def write(self, fetched: FetchedCall) -> None:
    """Takes the metrics of a call, and writes the row that ends with it.

    Raises:
      DivergedError: a loss that is not finite.
    """
    for step, of_step in fetched.rows():
      if not math.isfinite(of_step['loss']):
        raise DivergedError(step)
      self.window += (of_step,)
    if fetched.norms:
      self._write(step, fetched.norms)
      images = round(fetched.steps_per_second * self._batch_size, 1)
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
