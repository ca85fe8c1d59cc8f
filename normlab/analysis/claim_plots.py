"""Figures of verdicts: the strip against the target, the forest of a ledger."""

import math

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from normlab.analysis import claims
from normlab.analysis.verdicts import Verdict

# Of Okabe & Ito; with a sign each, for a print without colours.
VERDICTS = {
  Verdict.HOLDS: ('#009e73', '\N{BLACK CIRCLE}'),
  Verdict.INCONCLUSIVE: ('#8c8c8c', '?'),
  Verdict.FAILS: ('#d55e00', '\N{MULTIPLICATION SIGN}'),
}
MEASURES = {
  claims.RATIO: 'ratio of times',
  claims.DIFFERENCE: 'difference, points of accuracy',
  claims.SHARE: 'share of seeds, %',
}


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
  """One interval a row of the ledger, beside its margin and the paper's value.

  Args:
    ledger: rows of `claims.judge`, with 'experiment' and 'scale'.
  """
  height = 1.9 + 0.3 * len(ledger)
  figure = Figure(figsize=(11, height), dpi=150)
  panels = figure.subplots(1, len(MEASURES), sharey=True)
  for axes, (measure, title) in zip(panels, MEASURES.items(), strict=True):
    axes.set_title(title, fontsize=10)
    axes.spines[['top', 'right', 'left']].set_visible(False)
    axes.tick_params('y', length=0)
    axes.grid(axis='x', color='0.92')
    axes.set_axisbelow(True)
    own = ledger['measure'] == measure
    if measure == claims.RATIO:
      axes.set_xscale('log', base=2)
      axes.xaxis.set_major_formatter('{x:.3g}')
    rows = list(ledger[own].itertuples())
    places = np.flatnonzero(own)
    limits = spans(rows, is_log=measure == claims.RATIO)
    if measure != claims.RATIO:
      axes.xaxis.set_major_formatter(lambda x, _: f'{100 * x:.4g}')
    axes.set_xlim(*limits)
    for place, row in zip(places, rows, strict=True):
      draw_interval(axes, place, row, limits)
    axes.xaxis.set_major_locator(
      ticker.LogLocator(base=2)
      if measure == claims.RATIO
      else ticker.MaxNLocator(5)
    )
  panels[0].set_yticks(
    range(len(ledger)),
    [
      f'{row.claim}  {row.experiment}, {row.scale}'
      for row in ledger.itertuples()
    ],
    fontsize=8,
  )
  panels[0].set_ylim(len(ledger) - 0.4, -0.6)
  held = ledger.groupby(['experiment', 'scale', 'claim'])['verdict'].first()
  counts = [
    f'{(held == verdict).sum()} {text}'
    for verdict, text in (
      (Verdict.HOLDS, 'hold'),
      (Verdict.FAILS, 'do not'),
      (Verdict.INCONCLUSIVE, 'are inconclusive'),
    )
  ]
  figure.suptitle(
    f'Of {len(held)} verdicts, {", ".join(counts[:2])} and {counts[2]}',
    y=1 - 0.15 / height,
  )
  handles = [
    panels[0].plot([], [], color=color, lw=2.5, marker='o', label=verdict.value)
    for verdict, (color, _) in VERDICTS.items()
  ]
  handles += [
    panels[0].plot([], [], 'D', color='0.2', mfc='white', label='the paper'),
    panels[0].plot([], [], '|', color='0.2', ms=11, label='margin'),
  ]
  figure.legend(
    handles=[handle for (handle,) in handles],
    loc='lower center',
    ncols=5,
    frameon=False,
    fontsize=8,
  )
  figure.subplots_adjust(
    left=0.24,
    right=0.98,
    top=1 - 0.75 / height,
    bottom=0.85 / height,
    wspace=0.12,
  )
  return figure


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
  color = VERDICTS[Verdict(row.part)][0]
  low, high = np.clip([row.low, row.high], *limits)
  axes.plot([low, high], [place] * 2, color=color, lw=2.5)
  for end, clipped in ((row.low, low), (row.high, high)):
    if end != clipped:
      mark = '<' if end < clipped else '>'
      axes.plot(clipped, place, mark, color=color, ms=5, clip_on=False)
  if math.isfinite(row.estimate):
    axes.plot(np.clip(row.estimate, *limits), place, 'o', color=color, ms=5)
  axes.plot(row.margin, place, '|', color='0.2', ms=11)
  if math.isfinite(row.published):
    axes.plot(row.published, place, 'D', color='0.2', mfc='white', ms=5)
