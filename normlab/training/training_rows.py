"""Training rows of the record, from the metrics of calls."""

import math

import ml_collections

from normlab.journal.journals import Journal
from normlab.program import optim, training_step
from normlab.training.compiled_calls import FetchedCall
from normlab.training.divergence import DivergedError


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
    for step, of_step in fetched.by_step():
      if not math.isfinite(of_step['loss']):
        raise DivergedError(step)
      self.window += (of_step,)
    if fetched.norms:
      self._write(fetched.end, fetched.norms)
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
