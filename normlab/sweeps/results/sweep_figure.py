"""The figure of a sweep: accuracy and steps to a target by swept field.

Pure functions of the table of `sweep_table`.
"""

import math
import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normlab.analysis import plotting
from normlab.sweeps.results import arrangement
from normlab.sweeps.results.arrangement import Line

# Characters of a line of the caption, a panel.
CAPTION_WIDTH = 92
# Characters of all ticks that are names, if all are as long as the longest.
LONGEST_TICKS = 50
# Along x, as many labels fit if they are evenly spaced.
MOST_TICKS = 18


def plot(table: pd.DataFrame) -> Figure:
  """Best accuracy, and steps to the target, of every norm of the sweep.

  The table, with its `attrs`, is that of `sweep_table.table`.
  """
  figure, (accuracy, steps) = plotting.panels(2)
  draw(table, accuracy=accuracy, steps=steps)
  plotting.legend_outside(figure, accuracy)
  text = textwrap.fill(reading_help(table), 2 * CAPTION_WIDTH)
  plotting.add_caption(figure, text)
  return figure


def draw(table: pd.DataFrame, *, accuracy: Axes, steps: Axes) -> None:
  """Draws both panels, for figures that have more."""
  target = table.attrs['target']
  found = arrangement.layout(table, table.attrs['overrides'])
  table = table.assign(x=places(table, found.x))
  lines = list(arrangement.lines_of(table, found))
  if not has_numbers(table, found.x):
    lines = side_by_side(lines)
  for line in lines:
    draw_accuracy(accuracy, line, connected=found.connected)
    draw_steps(steps, line, connected=found.connected)
  best = table['best_accuracy'].max()
  plotting.accuracy_axis(accuracy, 0.0 if math.isnan(best) else best)
  draw_divergence(accuracy, lines)
  if not math.isnan(target):
    accuracy.axhline(target, color='0.6', linewidth=0.8, zorder=0)
  steps_axis(steps, target)
  for axes in (accuracy, steps):
    x_axis(axes, table, found.x)
  accuracy.set(ylabel='best validation accuracy')


def places(table: pd.DataFrame, x: str | None) -> pd.Series:
  """Where each run stands along x; values that are no numbers are numbered."""
  if x is None:
    return pd.Series(0.0, index=table.index)
  if has_numbers(table, x):
    return table[x].astype(float)
  texts = table[x].map(arrangement.value_text)
  return texts.map({text: i for i, text in enumerate(texts.unique())})


def has_numbers(table: pd.DataFrame, x: str | None) -> bool:
  """Whether x is a scale, and not names in a row."""
  return x is not None and arrangement.is_numeric(table[x])


def side_by_side(lines: Sequence[Line]) -> list[Line]:
  """Lines with the same place moved apart, where places are names."""
  own = [set(line.runs['x']) for line in lines]
  slots = [sum(bool(x & y) for y in own[:i]) for i, x in enumerate(own)]
  most = max(slots)
  pitch = min(0.15, 0.7 / (most + 1))
  return [
    line._replace(
      runs=line.runs.assign(x=line.runs['x'] + pitch * (slot - most / 2))
    )
    for line, slot in zip(lines, slots, strict=True)
  ]


def draw_accuracy(axes: Axes, line: Line, *, connected: bool) -> None:
  """Mean and range of the runs that did not diverge, a place."""
  done = line.runs['best_accuracy'].where(line.runs['status'] == 'done')
  # On the logit scale 100% is infinitely high, and so would be the band.
  done = done.clip(upper=plotting.TOP)
  by_place = done.groupby(line.runs['x'])
  diverged = (line.runs['status'] == 'diverged').groupby(line.runs['x']).any()
  draw_line(
    axes, line, by_place, hollow=diverged, connected=connected, named=True
  )


def draw_steps(axes: Axes, line: Line, *, connected: bool) -> None:
  """Mean and range of the steps of the runs that reach the target."""
  steps = line.runs['steps_to_target']
  by_place = steps.where(steps < math.inf).groupby(line.runs['x'])
  never = np.isinf(steps).groupby(line.runs['x']).any()
  draw_line(axes, line, by_place, hollow=never, connected=connected)


def draw_line(
  axes: Axes,
  line: Line,
  by_place: pd.core.groupby.SeriesGroupBy,
  *,
  hollow: pd.Series,
  connected: bool,
  named: bool = False,
) -> None:
  """A line with a band, broken where there is nothing.

  Args:
    by_place: values by x.
    hollow: by x, whether some of the runs are missing.
  """
  low, mean, high = by_place.min(), by_place.mean(), by_place.max()
  style = line.style if connected else {**line.style, 'linestyle': 'none'}
  label = line.label if named else None
  axes.plot(mean.index, mean, label=label, **style)
  color = style['color']
  if connected:
    axes.fill_between(
      mean.index, low, high, color=color, alpha=0.13, linewidth=0
    )
  else:
    axes.vlines(mean.index, low, high, color=color, linewidth=1, alpha=0.5)
  open_ = mean.where(hollow).dropna()
  axes.plot(
    open_.index,
    open_,
    **{**style, 'linestyle': 'none', 'markerfacecolor': 'white', 'zorder': 4},
  )


def draw_divergence(axes: Axes, lines: Sequence[Line]) -> None:
  """Crosses at the bottom: thin where some runs diverged, bold for all."""
  shares = {
    number: (line.runs['status'] == 'diverged').groupby(line.runs['x']).mean()
    for number, line in enumerate(lines)
  }
  for place in sorted({x for share in shares.values() for x in share.index}):
    found = [(n, share.get(place, 0.0)) for n, share in shares.items()]
    plotting.heap_of_crosses(
      axes,
      place,
      [(lines[n].style['color'], share == 1) for n, share in found if share],
    )


def steps_axis(axes: Axes, target: float) -> None:
  """The vertical axis of the steps, by factors where they differ by ten."""
  drawn = np.concatenate([line.get_ydata() for line in axes.lines] or [[]])
  drawn = drawn[np.isfinite(drawn)]
  what = 'the target' if math.isnan(target) else f'{target:.2%}'
  axes.set(ylabel=f'training steps to {what}')
  if not len(drawn):
    axes.set_yticks([])
    plotting.note(axes, f'no run reaches {what}')
  elif drawn.max() >= 10 * drawn.min() > 0:
    axes.set_yscale('log')
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter('{x:,.0f}')
    axes.yaxis.set_minor_locator(ticker.NullLocator())
  else:
    axes.set_ylim(0, None)
    axes.yaxis.set_major_formatter('{x:,.0f}')


def x_axis(axes: Axes, table: pd.DataFrame, x: str | None) -> None:
  """The horizontal axis, by factors where values differ by ten."""
  axes.set_xlabel(arrangement.label_of(x))
  values = sorted(table['x'].unique())
  if not has_numbers(table, x):
    names = {} if x is None else dict(zip(table['x'], table[x], strict=True))
    texts = [arrangement.value_text(names.get(value, '')) for value in values]
    if max(map(len, texts)) * len(texts) > LONGEST_TICKS:
      texts = [text.replace('_', '\n', 1) for text in texts]
      axes.tick_params('x', labelsize=8)
    axes.set_xticks(values, texts)
    axes.set_xlim(-0.5, len(values) - 0.5)
    return
  low, high = values[0], values[-1]
  if low > 0 and high >= 10 * low:
    axes.set_xscale('log')
    margin = (high / low) ** 0.05
    axes.set_xlim(low / margin, high * margin)
  else:
    margin = 0.05 * (high - low) or 0.5
    axes.set_xlim(low - margin, high + margin)
  if have_room(values, is_log=axes.get_xscale() == 'log'):
    axes.set_xticks(values, [f'{value:g}' for value in values])
    axes.xaxis.set_minor_locator(ticker.NullLocator())


def have_room(values: Sequence[float], *, is_log: bool) -> bool:
  """Whether each value along x can have a tick with its own label."""
  places = np.log(values) if is_log else np.asarray(values)
  gaps = np.diff(places)
  return not len(gaps) or gaps.min() * MOST_TICKS >= places[-1] - places[0]


def reading_help(table: pd.DataFrame) -> str:
  """How to read the figure, and which runs it does not show."""
  target = table.attrs['target']
  missing = (~table['status'].isin(['done', 'diverged'])).sum()
  parts = [
    'Lines: mean over seeds and repeated draws; bands: their range; crosses: '
    'divergence, bold where all runs diverged; hollow marks: some of the runs '
    'diverged (left) or never get there (right), and the mean is of the '
    'others; no mark: none has got there'
  ]
  hidden = arrangement.layout(table, table.attrs['overrides']).hidden
  if hidden:
    named = ', '.join(map(arrangement.label_of, hidden))
    parts.append(f'also varied, and not shown: {named}')
  if not math.isnan(target):
    parts.append(f'grey line: the target, {target:.2%}')
  if missing:
    parts.append(f'without a result, and not shown: {missing} of {len(table)}')
  return '; '.join(parts) + '.'
