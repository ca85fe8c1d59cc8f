"""The figure: accuracy, steps to match and the range that works, by norm."""

import math

import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.base import Experiment
from experiments.lr_multipliers.analysis import cells, ranges
from normlab.analysis import line_styles, plotting


def plot(experiment: Experiment, table: pd.DataFrame, scale: str) -> Figure:
  """Three panels with one colour a norm.

  Args:
    experiment: judges.
    table: one row an evaluation.
    scale: a name of its scales.
  """
  outcomes = experiment.outcomes(table)
  target = experiment.target(table)
  by_cell, by_norm = cells(outcomes), ranges(outcomes)
  figure, (high, soon, usable) = plotting.panels(3, widths=(0.9, 0.9, 0.7))
  for norm in by_norm.index:
    own = by_cell.loc[norm].sort_index()
    style = line_styles.marked_style(norm)
    draw_accuracy(high, own, norm, style)
    steps = own['steps'].where(own['steps'] < math.inf)
    soon.plot(steps.index, steps, **style)
  plotting.accuracy_axis(high, by_cell['high'].max())
  draw_divergence(high, by_cell)
  for axes in (high, soon):
    axes.set_xscale('log')
    multipliers(axes, by_cell)
  high.axhline(target, color='0.6', linewidth=0.8, zorder=0)
  draw_ranges(usable, by_norm, by_cell)
  config = experiment.scales[scale].config()
  high.set(title=f'{config.data.name}: how high', ylabel='validation accuracy')
  soon.set(title='how soon', ylabel=f'steps to {target:.1%} (median)')
  soon.set_ylim(0, None)
  usable.set(title='within 1 point of its best; above the best of none')
  usable.title.set_fontsize(9)
  plotting.legend_outside(figure, high, title=finding(by_norm))
  figure.subplots_adjust(wspace=0.32)
  return figure


def finding(by_norm: pd.DataFrame) -> str:
  """The figure's title: what came out, in numbers."""
  factors = (by_norm['beats_high'] / by_norm['beats_low']).dropna()
  without = by_norm.loc['none', 'best']
  if not len(factors):
    return f'No norm gets above the best without one, {without:.1%}'
  widest = factors.idxmax()
  return (
    f'{len(factors)} of {len(by_norm) - 1} norms get above the best without '
    f'one, {without:.1%}; over the widest range of rates, a factor of '
    f'{factors.max():,.0f}: {widest}'
  )


def draw_accuracy(
  axes: Axes, own: pd.DataFrame, norm: str, style: dict
) -> None:
  """Median and range over seeds, by multiplier."""
  low, high = (own[name].clip(upper=plotting.TOP) for name in ('low', 'high'))
  axes.plot(own.index, own['accuracy'], label=norm, **style)
  axes.fill_between(
    own.index, low, high, color=style['color'], alpha=0.13, linewidth=0
  )


def draw_divergence(axes: Axes, by_cell: pd.DataFrame) -> None:
  """Crosses at the bottom: thin where some seeds diverged, bold for all."""
  died = by_cell[by_cell['diverged'] > 0]
  for multiplier, own in died.groupby('multiplier'):
    crosses = [
      (line_styles.color_of(norm), cell['diverged'] == cell['seeds'])
      for (norm, _), cell in own.iterrows()
    ]
    plotting.heap_of_crosses(axes, multiplier, crosses)


def multipliers(axes: Axes, by_cell: pd.DataFrame) -> None:
  """The horizontal axis: every multiplier of the grid, once."""
  grid = sorted(by_cell.index.get_level_values('multiplier').unique())
  axes.set_xticks(grid, [f'{value:g}' for value in grid])
  axes.xaxis.set_minor_locator(ticker.NullLocator())
  axes.set_xlim(grid[0] / 1.4, grid[-1] * 1.4)
  axes.set_xlabel('learning-rate multiplier')


def draw_ranges(
  axes: Axes, by_norm: pd.DataFrame, by_cell: pd.DataFrame
) -> None:
  """Two bars a norm: near its own best, and above the best without a norm."""
  axes.set_xscale('log')
  for place, (norm, own) in enumerate(by_norm.iterrows()):
    color = line_styles.color_of(norm)
    for kind, shift, alpha in (('usable', -0.17, 0.45), ('beats', 0.17, 1.0)):
      ends = own[f'{kind}_low'], own[f'{kind}_high']
      if math.isnan(ends[0]):
        continue
      axes.plot(
        [ends[0] / 1.08, ends[1] * 1.08],
        [place + shift] * 2,
        color=color,
        alpha=alpha,
        linewidth=6,
        solid_capstyle='butt',
      )
  axes.set_yticks(range(len(by_norm)), by_norm.index)
  axes.set_ylim(len(by_norm) - 0.4, -0.6)
  multipliers(axes, by_cell)
