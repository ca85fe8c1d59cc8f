"""Figures of verdicts: the strip against the target, the forest of a ledger."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from normlab.analysis import claims
from normlab.analysis.verdicts import Verdict

# Colour and mark; the colours differ in lightness, for a print without colours.
VERDICTS = {
  Verdict.HOLDS: ('#00664b', 'o'),
  Verdict.INCONCLUSIVE: ('#b8b8b8', 's'),
  Verdict.FAILS: ('#e07b39', 'X'),
}
# Distances in a forest: of claims, and of the comparisons of one.
ROW, STACKED = 1.4, 0.75
# Panels of the forest: measure, whether of accuracies, and title.
Panel = tuple[str, bool | None, str]
PANELS: tuple[Panel, ...] = (
  (claims.RATIO, None, 'ratio'),
  (claims.DIFFERENCE, True, 'difference, points of accuracy'),
  (claims.DIFFERENCE, False, 'difference, own units'),
  (claims.SHARE, None, 'share of seeds, %'),
)


def strip(axes: Axes, verdicts: pd.DataFrame) -> None:
  """Cells with the verdicts, against the target along the accuracy axis.

  Args:
    axes: shares its vertical axis with accuracies.
    verdicts: one row a target, one column a claim, of `claims.strip`.
  """
  targets = verdicts.index.to_numpy(float)
  edges = np.convolve(targets, [0.5, 0.5], 'valid')
  edges = np.concatenate([targets[:1], edges, targets[-1:]])
  for place, claim in enumerate(verdicts):
    colors = [VERDICTS[Verdict(verdict)][0] for verdict in verdicts[claim]]
    axes.bar(place, np.diff(edges), 0.8, edges[:-1], color=colors, linewidth=0)
  axes.set_xticks(range(len(verdicts.columns)), verdicts.columns)
  axes.set(xlabel='claim', title='by target')
  axes.set_xlim(-0.6, len(verdicts.columns) - 0.4)
  axes.tick_params('y', labelleft=False, left=False)
  axes.grid(False)


def legend_of_verdicts(axes: Axes) -> None:
  """What the colours mean, below the axes."""
  axes.legend(
    handles=[
      Patch(color=color, label=verdict.value)
      for verdict, (color, _) in VERDICTS.items()
    ],
    loc='upper center',
    bbox_to_anchor=(0.5, -0.16),
    frameon=False,
    fontsize=7.5,
  )


def forest(ledger: pd.DataFrame) -> Figure:
  """The intervals of each claim, beside their margins and the paper's values.

  A claim of an experiment is a row; several comparisons lie below one another.

  Args:
    ledger: rows of `claims.judge`, with 'experiment' and 'scale'.
  """
  shown = [panel for panel in PANELS if shows(panel, ledger).any()]
  heights, labels = places(ledger, shown)
  lowest = heights.max() + ROW
  height = 1.9 + 0.2 * lowest
  figure = Figure(figsize=(11, height), dpi=150)
  panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
  for axes, panel in zip(panels, shown, strict=True):
    draw_panel(axes, ledger, panel, heights)
  panels[0].set_yticks(list(labels), list(labels.values()), fontsize=8)
  panels[0].set_ylim(lowest, -1.2)
  figure.suptitle(finding(ledger), y=1 - 0.15 / height)
  add_legend(figure, panels[0])
  figure.subplots_adjust(
    left=0.16,
    right=0.98,
    top=1 - 0.75 / height,
    bottom=0.85 / height,
    wspace=0.12,
  )
  return figure


def places(
  ledger: pd.DataFrame, shown: Sequence[Panel]
) -> tuple[pd.Series, dict[float, str]]:
  """Where comparisons lie, and the names of the claims at the first of each."""
  heights = pd.Series(0.0, index=ledger.index)
  labels, top = {}, 0.0
  for (claim, experiment), own in ledger.groupby(
    ['claim', 'experiment'], sort=False
  ):
    labels[top] = f'{claim}  {experiment}'
    most = 0
    for panel in shown:
      rows = own.index[shows(panel, own)]
      heights[rows] = top + STACKED * np.arange(len(rows))
      most = max(most, len(rows))
    top += ROW + STACKED * (most - 1)
  return heights, labels


def shows(panel: Panel, ledger: pd.DataFrame) -> pd.Series:
  """The rows of the ledger that a panel shows, as a mask."""
  measure, of_accuracy, _ = panel
  own = ledger['measure'] == measure
  if of_accuracy is None:
    return own
  return own & (ledger['outcome'].str.contains('accuracy') == of_accuracy)


def draw_panel(
  axes: Axes, ledger: pd.DataFrame, panel: Panel, heights: pd.Series
) -> None:
  """The intervals of one panel, on an axis of their own."""
  measure, of_accuracy, title = panel
  is_ratio = measure == claims.RATIO
  axes.set_title(title, fontsize=10)
  axes.spines[['top', 'right', 'left']].set_visible(False)
  axes.tick_params('y', length=0)
  axes.grid(axis='x', color='0.92')
  axes.set_axisbelow(True)
  own = shows(panel, ledger)
  rows = list(ledger[own].itertuples())
  limits = spans(rows, is_log=is_ratio)
  if is_ratio:
    axes.set_xscale('log', base=2)
    axes.xaxis.set_major_formatter('{x:.3g}')
  else:
    unit = 1 if of_accuracy is False else 100
    axes.xaxis.set_major_formatter(lambda x, _: f'{unit * x:.4g}')
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
  axes.set_xlim(*limits)
  for place, row in zip(heights[own], rows, strict=True):
    draw_interval(axes, place, row, limits)


def finding(ledger: pd.DataFrame) -> str:
  """The title: how many verdicts there are of each kind."""
  verdicts = ledger.groupby(['experiment', 'scale', 'claim'])['verdict'].first()
  holds, fails, open_ = (
    (verdicts == kind).sum()
    for kind in (Verdict.HOLDS, Verdict.FAILS, Verdict.INCONCLUSIVE)
  )
  return (
    f'Of {len(verdicts)} verdicts, {holds} hold, {fails} do not and {open_} '
    'are inconclusive'
  )


def add_legend(figure: Figure, axes: Axes) -> None:
  """What marks and colours mean, below the panels."""
  handles = [
    *axes.plot([], [], 'D', color='0.2', mfc='white', label='the paper'),
    *axes.plot([], [], '|', color='0.2', ms=11, label='margin'),
  ]
  for verdict, (color, mark) in VERDICTS.items():
    handles += axes.plot(
      [], [], color=color, lw=2.5, marker=mark, label=verdict.value
    )
  figure.legend(
    handles=handles, loc='lower center', ncols=5, frameon=False, fontsize=8
  )


def spans(rows: list, *, is_log: bool) -> tuple[float, float]:
  """Limits of an axis that holds all finite numbers of the rows."""
  numbers = [
    value
    for row in rows
    for value in (row.estimate, row.low, row.high, row.margin, row.published)
    if math.isfinite(value) and (value > 0 or not is_log)
  ]
  if not numbers:
    return (0.5, 2) if is_log else (0, 1)
  low, high = min(numbers), max(numbers)
  if is_log:
    return low / 1.5, high * 1.5
  margin = 0.08 * (high - low) or 0.1
  return low - margin, high + margin


def draw_interval(
  axes: Axes, place: int, row: tuple, limits: tuple[float, float]
) -> None:
  """The interval with its estimate, clipped with arrows; margin and paper."""
  color, shape = VERDICTS[Verdict(row.part)]
  low, high = np.clip([row.low, row.high], *limits)
  axes.plot([low, high], [place] * 2, color=color, lw=2.5)
  for end, clipped in ((row.low, low), (row.high, high)):
    if end != clipped:
      mark = '<' if end < clipped else '>'
      axes.plot(clipped, place, mark, color=color, ms=5, clip_on=False)
  if math.isfinite(row.estimate):
    axes.plot(np.clip(row.estimate, *limits), place, shape, color=color, ms=5)
  axes.plot(row.margin, place, '|', color='0.2', ms=11)
  if math.isfinite(row.published):
    axes.plot(row.published, place, 'D', color='0.2', mfc='white', ms=5)
