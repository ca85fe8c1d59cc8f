"""Evaluation: the metrics of a trained network on a split."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from normlab import data, norms
from normlab.program import metrics, training_step
from normlab.training import preparation

T = TypeVar('T')
Variables = dict[str, Any]
# Suffix of columns to their statistics, and whether they are of the moving
# average of the parameters.
Columns = Mapping[str, tuple[str, bool]]

SPLITS = ('train', 'validation', 'test')


def evaluate(
  run: preparation.PreparedRun,
  state: training_step.TrainState,
  split: str,
  *,
  statistics: Sequence[str] | None = None,
  batch_size: int | None = None,
) -> dict[str, float | list[float | None]]:
  """The metrics on a whole split, each example once.

  Args:
    state: the parameters, their moving average, and the running statistics.
    split: of `SPLITS`.
    statistics: of `rules.STATISTICS`; default: `config.eval_statistics`.
    batch_size: examples at a time; default: `config.eval_batch_size`, and for
      the statistics of each batch `config.batch_size`, as in training.

  Returns:
    'loss', 'accuracy', 'ece' and 'class_accuracy' as `metrics.summarize` says,
    with the first of the statistics; the same with the suffix '_batch', say,
    with each of the others; and with '_ema' where the state has a moving
    average of the parameters, with the first.
  """
  config = run.config
  columns = columns_of(
    config.eval_statistics if statistics is None else statistics,
    has_average=state.ema is not None,
  )
  totals = column_totals(
    run,
    split,
    columns,
    network_of=functools.partial(variables, run, state),
    count=functools.partial(
      batch_totals,
      standardizer=run.standardizer,
      model=run.program.model,
      own=run.program.metrics,
    ),
    batch_size=batch_size,
  )
  return summarized(totals)


def columns_of(statistics: Sequence[str], *, has_average: bool) -> Columns:
  """The columns of a row, see `evaluate`."""
  first, *others = statistics
  columns = {'': (first, False)} | {
    f'_{name}': (name, False) for name in others
  }
  return columns | ({'_ema': (first, True)} if has_average else {})


def column_totals(
  run: preparation.PreparedRun,
  split: str,
  columns: Columns,
  *,
  network_of: Callable[..., Variables],
  count: Callable[..., metrics.Totals],
  batch_size: int | None = None,
) -> dict[str, metrics.Totals]:
  """The totals of a split by the suffix of their columns.

  Args:
    network_of: from `statistics` and `ema` of a column what its network is.
    count: from a network, a batch, which of its examples are valid, and
      `by_batch`, the totals of the batch, as `totals_of`.
  """
  config, found = run.config, {}
  # Reading a batch can take longer than evaluating it: once for all columns.
  for by_batch, default in (
    (False, config.eval_batch_size),
    (True, config.batch_size),
  ):
    networks = {
      suffix: network_of(statistics, ema=ema)
      for suffix, (statistics, ema) in columns.items()
      if (statistics == 'batch') == by_batch
    }
    if networks:
      batches = run.feed.eval_batches(split, batch_size or default)
      counted = functools.partial(count, by_batch=by_batch)
      found |= add_up(networks, batches, counted)
  return {suffix: found[suffix] for suffix in columns}


def summarized(
  totals: Mapping[str, metrics.Totals],
) -> dict[str, float | list[float | None]]:
  """The metrics of a row, from the totals by the suffix of their columns."""
  return {
    f'{metric}{suffix}': value
    for suffix, of_column in totals.items()
    for metric, value in metrics.summarize(of_column).items()
  }


def variables(
  run: preparation.PreparedRun,
  state: training_step.TrainState,
  statistics: str,
  *,
  ema: bool,
) -> Variables:
  """The variables of the model, recalibrated if asked.

  The moving average of the parameters has no statistics of its own: 'running'
  are those of the parameters that were averaged.
  """
  params = state.ema if ema else state.params
  network = {'params': params, **state.model_state}
  if statistics != 'recalibrated':
    return network
  count = run.config.recalibration_examples
  size = min(count, run.config.eval_batch_size)
  batches = list(run.feed.training_batches(count, size))
  images = StandardizedImages(batches, run.standardizer)
  return norms.recalibrate(run.program.model, network, images)


@dataclasses.dataclass(frozen=True)
class StandardizedImages:
  """The images of batches as the model takes them, made anew in each pass.

  Recalibration takes many passes; a byte a pixel is a quarter of the memory.

  Attributes:
    batches: with images as uint8.
  """

  batches: Sequence[data.Examples]
  standardizer: data.Standardizer

  def __iter__(self) -> Iterator[jax.Array]:
    """Yields float32 [batch, height, width, channels]."""
    for batch in self.batches:
      yield standardized(self.standardizer, batch.images)


@jax.jit
def standardized(
  standardizer: data.Standardizer, images: jax.Array
) -> jax.Array:
  """The images as the model takes them."""
  return standardizer.standardize(images)


def add_up(
  networks: dict[str, Variables],
  batches: Iterable[tuple[data.Examples, jax.Array]],
  count: Callable[..., metrics.Totals],
) -> dict[str, metrics.Totals]:
  """The totals of some networks over the same batches, in float64."""

  def parts() -> Iterator[dict[str, metrics.Totals]]:
    for batch, valid in batches:
      yield {
        name: count(network, batch, valid) for name, network in networks.items()
      }

  fetched = (
    jax.tree.map(np.float64, jax.device_get(part))
    for part in one_ahead(parts())
  )
  return functools.reduce(
    lambda sums, part: jax.tree.map(np.add, sums, part), fetched
  )


def one_ahead(items: Iterable[T]) -> Iterator[T]:
  """Yields each item after the next is made, so that the device never waits."""
  for item, _ in itertools.pairwise(itertools.chain(items, [None])):
    yield item


def totals_of(
  network: Variables,
  batch: data.Examples,
  valid: jax.Array,
  standardizer: data.Standardizer,
  *,
  model: Any,
  by_batch: bool,
  own: metrics.OwnMetrics = (),
) -> metrics.Totals:
  """The totals of a batch, whose images are uint8.

  Args:
    valid: bool [batch]; False where an example only fills the batch up.
    by_batch: normalizes with the statistics of the batch, and not with those
      in `network`.
    own: further metrics.
  """
  x = standardizer.standardize(batch.images)
  if by_batch:
    logits = norms.apply_with_mixed_statistics(
      model, network, x, source_count=0
    )
  else:
    logits = model.apply(network, x, train=False)
  return metrics.totals(logits, batch.labels, valid, own)


# Jitted once for the process: runs with equal models share what is compiled.
batch_totals = jax.jit(totals_of, static_argnames=('model', 'by_batch', 'own'))


class Stopped(Exception):
  """An evaluation was asked to stop."""


class Stoppable:
  """A feed whose batches end in `Stopped` once `stop` returns True."""

  def __init__(self, feed: preparation.Feed, stop: Callable[[], bool]):
    """Asks `stop` before each batch of the feed."""
    self._feed = feed
    self._stop = stop

  def eval_batches(
    self, split: str, batch_size: int
  ) -> Iterator[tuple[data.Examples, jax.Array]]:
    """As of the feed."""
    return self._until_stopped(self._feed.eval_batches(split, batch_size))

  def training_batches(
    self, count: int, batch_size: int
  ) -> Iterator[data.Examples]:
    """As of the feed."""
    return self._until_stopped(self._feed.training_batches(count, batch_size))

  def _until_stopped(self, batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
      if self._stop():
        raise Stopped
      yield batch
