"""How much the distributions move, as numbers and as a table."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from experiments.base import CHANCE
from experiments.noisy_batch_norm.runs import ARMS, TARGETS
from normlab.analysis import tables
from normlab.analysis.outcomes import NOTHING, final, has_diverged, spread
from normlab.records import Record

# Of the histograms that the figure shows: two bins of the probe each.
EDGES = np.arange(-4, 4.25, 0.25)
FIRST_SEED = 0
# Of one unit, in the order of the probe.
PERCENTILES = ('p15', 'p50', 'p85')
# Columns of the table: quantity to its name before '/layer1'.
CHANGES = ('mean', 'variance', 'relative_mean', 'relative_variance')


def measure(record: Record) -> pd.DataFrame:
  """Training accuracy and its target, changes by layer, and distributions.

  Distributions are those of three layers, of the first seed alone.
  """
  config, probe = record.config, record.probe('outputs')
  steps = pd.Index(probe['step'], name='step')
  trained = tables.training(record)[['train_accuracy']]
  trained['train_target'] = TARGETS[config['data']['name']]
  columns = changes(probe)
  if config['seed'] == FIRST_SEED:
    columns |= histograms(probe) | percentiles(probe)
  return trained.join(pd.DataFrame(columns, index=steps), how='outer')


def layers_of(names: Mapping[str, object], quantity: str) -> list[str]:
  """The layers that have a quantity, by name."""
  return sorted(
    name.removeprefix(f'{quantity}/')
    for name in names
    if name.startswith(f'{quantity}/')
  )


def changes(probe: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Changes since the last measurement, the mean over the channels of a layer.

  Args:
    probe: the arrays of `outputs`: [measurements, channels].

  Returns:
    'mean/layer1', |difference of the means|, and 'variance/layer1' likewise;
    'relative_mean/layer1' is in standard deviations of the channel, and
    'relative_variance/layer1' in its variance, both of the two measurements
    pooled. [measurements] each; NaN first.
  """
  found = {}
  for layer in layers_of(probe, 'mean'):
    mean, variance = (
      probe[f'{quantity}/{layer}'].astype(float)
      for quantity in ('mean', 'variance')
    )
    pooled = (variance[1:] + variance[:-1]) / 2
    moved = np.abs(np.diff(mean, axis=0))
    rescaled = np.abs(np.diff(variance, axis=0))
    parts = (
      moved,
      rescaled,
      ratio(moved, np.sqrt(pooled)),
      ratio(rescaled, pooled),
    )
    for quantity, part in zip(CHANGES, parts, strict=True):
      found[f'{quantity}/{layer}'] = np.append(np.nan, part.mean(1))
  return found


def ratio(change: np.ndarray, unit: np.ndarray) -> np.ndarray:
  """Their ratio; a channel that is constant twice has not changed."""
  return np.divide(change, unit, out=np.zeros_like(change), where=unit > 0)


def shown_layers(layers: list[str]) -> list[str]:
  """Three of them: the first, one in the middle, the last."""
  return [layers[0], layers[len(layers) // 2], layers[-1]]


def histograms(probe: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """'histogram/layer1/-4' and so on: share of the values in a bin, by edge."""
  found = {}
  places = np.searchsorted(probe['edges'][0], EDGES) + 1
  for layer in shown_layers(layers_of(probe, 'histogram')):
    counts = probe[f'histogram/{layer}']
    total = counts.sum(1)
    for low, start, end in zip(EDGES, places, places[1:], strict=False):
      share = counts[:, start:end].sum(1) / total
      found[f'histogram/{layer}/{low:g}'] = share
  return found


def percentiles(probe: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """'unit/layer1/p15' to 'unit/layer1/p85', of the first unit of a layer."""
  return {
    f'unit/{layer}/{percentile}': column
    for layer in shown_layers(layers_of(probe, 'unit_percentiles'))
    for percentile, column in zip(
      PERCENTILES, probe[f'unit_percentiles/{layer}'].T, strict=True
    )
  }


def further(run: pd.DataFrame) -> dict[str, float | bool]:
  """What came of training, and how much the distributions moved.

  Args:
    run: the rows of one run, with the columns of `measure`.

  Returns:
    'training_steps' to the target, infinite if never; 'training_accuracy' at
    the end, the mean of three rows; 'rises_above_guessing', whether that is
    above twice the accuracy of guessing; the changes, means over layers and
    measurements: 'change_of_mean' in standard deviations, 'change_of_variance'
    in variances, and both in 'absolute...' units.
  """
  reached = run.loc[run['train_accuracy'] >= run['train_target'], 'step']
  arrives = len(reached) and not has_diverged(run)
  accuracy = final(run, 'train_accuracy', diverged=0.0)
  names = (
    *('absolute_change_of_mean', 'absolute_change_of_variance'),
    *('change_of_mean', 'change_of_variance'),
  )
  moved = {
    name: float(run.filter(regex=f'^{quantity}/').mean().mean())
    for name, quantity in zip(names, CHANGES, strict=True)
  }
  return {
    'training_steps': float(reached.min()) if arrives else math.inf,
    'training_accuracy': accuracy,
    'rises_above_guessing': accuracy > 2 * CHANCE,
    **moved,
  }


def present(outcomes: pd.DataFrame, target: float | None) -> pd.DataFrame:
  """One row an arm: medians and ranges over its seeds.

  Args:
    outcomes: one row a run, by arm and seed.
    target: not used; steps are counted to `TARGETS`.
  """
  del target
  rows = []
  for name, arm in ARMS.items():
    own, paper = outcomes.loc[name], arm.paper_steps
    rows.append(
      {
        'network': name,
        'seeds': len(own),
        'training steps': spread(own['training_steps']),
        'training accuracy': spread(own['training_accuracy'], '{:.1%}'),
        'validation accuracy': spread(own['accuracy'], '{:.1%}'),
        'change of mean': spread(own['change_of_mean'], '{:.2f}'),
        'of variance': spread(own['change_of_variance'], '{:.2f}'),
        'absolute, of mean': spread(own['absolute_change_of_mean'], '{:.2f}'),
        'absolute, of variance': spread(
          own['absolute_change_of_variance'], '{:.2f}'
        ),
        'paper: steps to 90%': f'{paper:,}' if paper else NOTHING,
      }
    )
  return pd.DataFrame(rows)
