"""Figures: panels, lines with bands, axes of accuracy, legends outside.

Nothing here reads a file, and importing it changes no setting of matplotlib.
"""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import ticker, transforms
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normlab.analysis import line_styles

# Highest end of an axis of accuracies, which on the logit scale has to end
# before 100%.
TOP = 0.99875
# Legend settings.
MOST_COLUMNS = 8
# Crosses side by side, and points between two of them.
HEAP_COLUMNS = 3
HEAP_PITCH = 7.5


def panels(
  count: int, *, widths: Sequence[float] | None = None, rows: int = 1
) -> tuple[Figure, list[Axes]]:
  """A figure with panels side by side; not registered with pyplot.

  Args:
    count: panels in a row.
    widths: relative ones.
    rows: of panels, which come row by row.
  """
  widths = widths or [1] * count
  height = 5.4 if rows == 1 else 4.2 * rows
  figure = Figure(figsize=(5.6 * sum(widths), height), dpi=150)
  axes = figure.subplots(rows, count, squeeze=False, width_ratios=widths)
  axes = axes.ravel()
  for panel in axes:
    panel.spines[['top', 'right']].set_visible(False)
    panel.grid(color='0.92')
    panel.set_axisbelow(True)
  return figure, list(axes)


def band(
  axes: Axes,
  curves: pd.DataFrame,
  *,
  label: str,
  of: str = 'accuracy',
  **style: Any,
) -> None:
  """A column against steps: the mean over seeds, and their range.

  Args:
    curves: one row per run and step; those without a value are left out.
    of: the column.
  """
  by_step = curves.dropna(subset=of).groupby('step')[of]
  low, mean, high = by_step.min(), by_step.mean(), by_step.max()
  axes.plot(mean.index, mean, label=label, **style)
  axes.fill_between(
    mean.index, low, high, color=style['color'], alpha=0.15, linewidth=0
  )


def seeds(
  axes: Axes,
  curves: pd.DataFrame,
  *,
  label: str,
  of: str = 'accuracy',
  **style: Any,
) -> None:
  """A column against steps: a thin line for each seed; as `band`."""
  thin = style | {'linewidth': style['linewidth'] / 2}
  for number, (_, run) in enumerate(curves.groupby('seed')):
    own = run.dropna(subset=of)
    axes.plot(own['step'], own[of], label=None if number else label, **thin)


def diamond(axes: Axes, x: float, y: float, style: dict[str, Any]) -> None:
  """Marks where a network matches the target; hollow where its line is dots."""
  hollow = style['linestyle'] == line_styles.DOTS
  axes.plot(
    [x],
    [y],
    'D',
    color=style['color'],
    markersize=7 if hollow else 8,
    markerfacecolor='white' if hollow else style['color'],
    markeredgecolor=style['color'] if hollow else 'white',
    markeredgewidth=1.8 if hollow else 1,
    zorder=5,
  )


def crosses(axes: Axes, steps: pd.Series, style: dict[str, Any]) -> None:
  """Marks at the bottom where runs diverged; NaN for those that did not."""
  steps = steps.dropna()
  axes.plot(
    steps,
    np.full(len(steps), 0.02),
    'x',
    color=style['color'],
    markersize=8,
    markeredgewidth=2,
    transform=axes.get_xaxis_transform(),
    clip_on=False,
  )


def heap_of_crosses(
  axes: Axes, x: float, crosses: Sequence[tuple[str, bool]]
) -> None:
  """Marks at the bottom, side by side and in rows: none hides another.

  Args:
    crosses: the colour of each, and whether it is bold.
  """
  for number, (color, is_bold) in enumerate(crosses):
    row, column = divmod(number, HEAP_COLUMNS)
    in_row = min(len(crosses) - row * HEAP_COLUMNS, HEAP_COLUMNS)
    shift = transforms.ScaledTranslation(
      HEAP_PITCH * (column - (in_row - 1) / 2) / 72,
      HEAP_PITCH * (row + 0.6) / 72,
      axes.figure.dpi_scale_trans,
    )
    axes.plot(
      [x],
      [0],
      'x',
      color=color,
      markersize=5.5 if is_bold else 4.5,
      markeredgewidth=2 if is_bold else 0.9,
      transform=axes.get_xaxis_transform() + shift,
      clip_on=False,
      zorder=6,
    )


def note(axes: Axes, text: str) -> None:
  """Text in the middle of a panel that has nothing to show."""
  centered = {'ha': 'center', 'va': 'center', 'transform': axes.transAxes}
  axes.text(0.5, 0.5, text, color='0.4', **centered)


def accuracy_axis(axes: Axes, best: float) -> None:
  """Percent; where accuracies come close to one, on the logit scale.

  Equal distances are then equal factors of the error, so that 98% and 99% are
  as far apart as they are in fact.
  """
  if best > 0.95:
    top = min(1 - (1 - best) / 2, TOP)
    # A seed at 100% is infinitely high: its band ends at the top, not nowhere.
    # The limits come first, or the scale looks for some in the data.
    axes.set_ylim(0.05, top)
    axes.set_yscale('logit', **LOGIT['logit'])
    ticks = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999]
    axes.set_yticks([tick for tick in ticks if tick <= top])
    axes.yaxis.set_minor_locator(ticker.NullLocator())
  else:
    axes.set_ylim(0, 1.06 * best if best > 0 else 1)
  percent(axes)
  axes.set_xlim(0, None)


LOGIT = {'logit': {'nonpositive': 'clip'}, 'linear': {}}


def percent(axes: Axes) -> None:
  """Writes shares on the vertical axis as percent: 99.5%, not 0.995."""
  axes.yaxis.set_major_formatter(lambda value, _: f'{100 * value:.4g}%')


def share_accuracy(axes: Axes, accuracy: Axes) -> None:
  """Gives a panel the vertical axis of a panel of accuracies."""
  axes.set_ylim(accuracy.get_ylim())
  axes.set_yscale(accuracy.get_yscale(), **LOGIT[accuracy.get_yscale()])
  axes.set_yticks(accuracy.get_yticks())
  axes.yaxis.set_minor_locator(ticker.NullLocator())


def legend_outside(
  figure: Figure, axes: Axes, *, title: str | None = None
) -> None:
  """One legend for the figure, above the panels, in as few rows as fit.

  Args:
    title: above the legend: what the figure shows, in a sentence.
  """
  room = 0.35 / figure.get_size_inches()[1] if title else 0
  if title:
    figure.suptitle(title, fontsize=12.5, y=1 - room / 3)
  handles, labels = axes.get_legend_handles_labels()
  for rows in range(1, len(labels) + 1):
    columns = math.ceil(len(labels) / rows)
    if columns > MOST_COLUMNS:
      continue
    legend = figure.legend(
      handles,
      labels,
      loc='upper center',
      bbox_to_anchor=(0.5, 1 - room),
      ncols=columns,
      frameon=False,
      handlelength=3,
      columnspacing=1.4,
    )
    figure.draw_without_rendering()
    box = legend.get_window_extent()
    if box.width <= figure.bbox.width or columns == 1:
      break
    legend.remove()
  # Panel titles stand between the legend and the panels.
  below = box.y0 / figure.bbox.height
  figure.subplots_adjust(top=min(0.86, below - 0.08))


def add_caption(figure: Figure, text: str) -> None:
  """Small print below the panels."""
  lines = text.count('\n') + 1
  height = figure.get_size_inches()[1]
  # A line of 7.5 points, with spacing, is 0.145 inches.
  figure.subplots_adjust(
    left=0.08, right=0.98, bottom=(0.75 + 0.145 * lines) / height
  )
  figure.text(0.08, 0.02, text, fontsize=7.5, va='bottom', color='0.3')


def save(figure: Figure, path: pathlib.Path) -> None:
  """Writes PNG and SVG beside each other: `path` with the two suffixes.

  The same figure gives the same bytes: the SVG has no date and fixed names.
  """
  settings = {'svg.hashsalt': path.name, 'svg.fonttype': 'none'}
  with matplotlib.rc_context(settings):
    for suffix, metadata in (('.png', None), ('.svg', {'Date': None})):
      figure.savefig(path.with_suffix(suffix), metadata=metadata)
