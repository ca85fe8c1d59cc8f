"""The figure and its caption."""

import math
import textwrap

import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.lr_multipliers.analysis import (
  TOLERANCE,
  factor_text,
  outcomes,
  ranges,
  target_of,
)
from experiments.lr_multipliers.grid import SCALES
from normlab.analysis import plotting
from normlab.sweeps.language import hyper
from normlab.sweeps.results import sweep_figure

NORM, MULTIPLIER = 'norm.name', 'optimizer.learning_rate_multiplier'


def caption(scale: str) -> str:
  """What was run, how to read the figure, and what differs from the paper."""
  config = SCALES[scale].get_config()
  optimizer, schedule = config.optimizer, config.schedule
  seeds = len({row['config.seed'] for row in SCALES[scale].get_hyper(hyper)})
  model = config.model
  size = (
    f'channels {model.widths}' if model.widths else f'width {model.width:g}'
  )
  return (
    f'{config.data.name}, {model.name} with {size}, batch {config.batch_size}, '
    f'{config.total_steps:,} steps, {seeds} seeds; SGD with momentum 0.9, '
    f'learning rate {optimizer.learning_rate:g} (tuned without a norm) times '
    f'the multiplier, decaying to {schedule.decay_rate:g} of it, weight decay '
    f'{optimizer.weight_decay:g}; settings of norms: {settings(scale)}. Lines: '
    'mean over seeds; bands: range; grey line: best of the mean curve of '
    '"none" at x1. Crosses: seeds that diverged, bold where all did; hollow '
    'marks: some seeds diverged (left) or never match (middle), and the mean '
    'is of the others. Right: multipliers at which no seed diverges and the '
    f"mean is within {100 * TOLERANCE:g} point of the norm's own best (mark); "
    '"≥": to the end of the grid. Unlike in 1502.03167, all networks differ in '
    'the norm and the multiplier alone: the same weight decay, schedule and '
    f'dropout ({model.dropout:g}) for all; and network and data are small.'
  )


def settings(scale: str) -> str:
  """What the norms have beside their defaults, in words."""
  found = {}
  for row in SCALES[scale].get_hyper(hyper):
    fields = {k.rpartition('.')[2]: row[k] for k in row if '.norm.' in k}
    name = fields.pop('name')
    found[name] = ' '.join(f'{k} {v:.3g}' for k, v in fields.items())
  return ', '.join(f'{name} {text}' for name, text in found.items() if text)


def as_sweep(table: pd.DataFrame) -> pd.DataFrame:
  """The outcomes as the table of a sweep, which `sweeps.figure` draws."""
  found = outcomes(table).reset_index()
  found = found.rename(
    columns={
      'norm': NORM,
      'multiplier': MULTIPLIER,
      'steps_to_match': 'steps_to_target',
    }
  )
  found.attrs = {
    'overrides': [NORM, MULTIPLIER, 'seed'],
    'target': target_of(table),
  }
  return found


def plot(table: pd.DataFrame, scale: str) -> Figure:
  """Accuracy, steps to match and usable range, by norm."""
  figure, (accuracy, steps, usable) = plotting.panels(
    3, widths=(0.88, 0.88, 0.6)
  )
  sweep_figure.draw(as_sweep(table), accuracy=accuracy, steps=steps)
  draw_ranges(usable, ranges(table), sorted(table['multiplier'].unique()))
  accuracy.set(title=f'{SCALES[scale].get_config().data.name}: how high')
  steps.set(title='how soon')
  usable.set(title='usable range')
  plotting.legend_outside(figure, accuracy)
  figure.subplots_adjust(wspace=0.34)
  plotting.add_caption(figure, textwrap.fill(caption(scale), 200))
  return figure


def draw_ranges(
  axes: Axes, by_norm: pd.DataFrame, multipliers: list[float]
) -> None:
  """A bar a norm, with the factor beside it.

  Args:
    axes: where to draw.
    by_norm: of `analysis.ranges`.
    multipliers: of all runs, rising.
  """
  axes.set_xscale('log')
  for place, (norm, own) in enumerate(by_norm.iterrows()):
    if math.isnan(own['usable_factor']):
      continue
    style = plotting.marked_style(norm)
    ends = own['usable_low'], own['usable_high']
    axes.plot(
      ends,
      [place] * 2,
      color=style['color'],
      alpha=0.45,
      linewidth=9,
      solid_capstyle='butt',
    )
    axes.plot(own['best_multiplier'], place, **style | {'markersize': 8})
    axes.annotate(
      factor_text(own, multipliers),
      (ends[1], place),
      xytext=(9, 0),
      textcoords='offset points',
      va='center',
    )
  axes.set_yticks(range(len(by_norm)), by_norm.index)
  axes.set_ylim(len(by_norm) - 0.4, -0.6)
  axes.set_xticks(multipliers, [f'{value:g}' for value in multipliers])
  axes.xaxis.set_minor_locator(ticker.NullLocator())
  # Room for the factor behind a bar that ends with the grid.
  axes.set_xlim(multipliers[0] / 1.4, multipliers[-1] * 5)
  axes.set_xlabel('learning-rate multiplier')
