"""The figure: the table of invariances, and how exact the identities are."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from experiments.base import Experiment
from experiments.invariances.analysis import (
  NO,
  UNDECIDED,
  YES,
  answer,
  cells_of,
  column,
  published,
  short,
)
from experiments.invariances.arms import (
  ARMS,
  CHANGES,
  CONVOLUTION,
  DENSE,
  EQUAL,
  LAYERS,
  LIMITS,
  OTHER,
  PAPER,
  PRINTED,
  SAME,
  THEOREM,
)

# Of the cell and its text; dark and light, for a print without colours.
ANSWERS = {YES: ('#00587f', 'white'), NO: ('#ececec', '0.25')}
ANSWERS[UNDECIDED] = ('#e69f00', 'black')
MARKS = {YES: '\N{CHECK MARK}', NO: '\N{BALLOT X}'}
DISAGREES = '#d55e00'
# Where the logarithmic axis has a deviation of exactly 0.
ZERO = 1e-18


def plot(experiment: Experiment, table: pd.DataFrame, scale: str) -> Figure:
  """Cells for both kinds of layer; below them the limit cases and the theorem.

  Args:
    experiment: has the outcomes.
    table: one row a deviation.
    scale: a name of its scales.
  """
  del scale
  outcomes = experiment.outcomes(table)
  cells = {layer: cells_of(outcomes, layer) for layer in LAYERS}
  figure = Figure(figsize=(13, 11.5), dpi=150)
  grid = figure.add_gridspec(
    2,
    2,
    height_ratios=(len(ARMS), 9.5),
    left=0.215,
    right=0.99,
    top=0.845,
    bottom=0.06,
    hspace=0.16,
    wspace=0.03,
  )
  for place, (layer, own) in enumerate(cells.items()):
    axes = figure.add_subplot(grid[0, place])
    draw_cells(axes, own, layer)
    axes.set_title(f'after a {layer}', fontsize=11, pad=8)
    axes.tick_params('y', labelleft=place == 0)
  draw_identities(figure.add_subplot(grid[1, :]), outcomes)
  add_legend(figure)
  figure.suptitle(finding(cells), fontsize=12.5, y=0.99)
  return figure


def finding(cells: dict[str, pd.DataFrame]) -> str:
  """The title: how much of the papers' table holds, and where."""
  here, there = (cells[layer].map(answer) for layer in (DENSE, CONVOLUTION))
  agreed = sum(
    a == b
    for arm in PAPER
    for a, b in zip(here.loc[arm], published(arm), strict=True)
  )
  total = len(PAPER) * len(CHANGES)
  lines = [f"{agreed} of {total} cells of the papers' table hold in every seed"]
  known = pd.Series({arm: ARMS[arm].is_measured(DENSE) for arm in here.index})
  for change in CHANGES:
    for verb, before in (('costs', YES), ('gives', NO)):
      moved = known & (here[change] == before) & (there[change] != before)
      if moved.any():
        arms = ' and '.join(here.index[moved])
        lines.append(f'a convolution {verb} {arms} the invariance to {change}')
  return '\n'.join(lines)


def draw_cells(axes: Axes, cells: pd.DataFrame, layer: str) -> None:
  """A table of deviations: one row an arm, one column a change.

  The papers' marks are after a dense layer, where they have them.
  """
  for row, (arm, values) in enumerate(cells.iterrows()):
    if not ARMS[arm].is_measured(layer):
      axes.text(-0.45, row, 'no space, no statistics', va='center', fontsize=8)
      continue
    paper = published(arm) if layer == DENSE and arm in PAPER else None
    for place, value in enumerate(values):
      draw_cell(axes, row, place, value, paper and paper[place])
  axes.set_xlim(-0.5, len(CHANGES) - 0.5)
  axes.set_ylim(len(cells) - 0.5, -0.5)
  names = ['\n'.join(name.rsplit(' ', 1)) for name in CHANGES]
  axes.set_xticks(range(len(CHANGES)), names, fontsize=8)
  axes.set_yticks(range(len(cells)), cells.index, fontsize=9)
  axes.tick_params(length=0, labeltop=True, labelbottom=False, pad=1)
  axes.spines[:].set_visible(False)


def draw_cell(
  axes: Axes, row: int, place: int, value: float, paper: str | None
) -> None:
  """One cell, with the mark of the paper where it has an answer."""
  here = answer(value)
  color, ink = ANSWERS[here]
  corner, size = (place - 0.48, row - 0.46), (0.96, 0.92)
  axes.add_patch(Rectangle(corner, *size, color=color, linewidth=0))
  text = short(value)
  if paper:
    text = f'{text}  {MARKS[paper]}'
    if paper != here:
      axes.add_patch(
        Rectangle(corner, *size, fill=False, edgecolor=DISAGREES, linewidth=3)
      )
  axes.text(
    place, row, text, ha='center', va='center', fontsize=8, color=ink,
    fontweight='bold' if paper else None,
  )  # fmt: skip


def draw_identities(axes: Axes, outcomes: pd.DataFrame) -> None:
  """The deviation of each seed, for the limit cases and Theorem 4.1."""
  layer = dict.fromkeys(LIMITS, CONVOLUTION) | dict.fromkeys(
    (THEOREM, PRINTED), DENSE
  )
  for row, (arm, kind) in enumerate(layer.items()):
    values = outcomes.loc[arm, column(kind, EQUAL)].abs()
    color = ANSWERS[YES][0] if values.max() < SAME else '0.45'
    axes.plot(
      values.clip(lower=ZERO), [row] * len(values), 'o', color=color,
      alpha=0.6, markersize=6, clip_on=False,
    )  # fmt: skip
  axes.axvspan(ZERO / 3, SAME, color='#dcebf3', zorder=0)
  axes.axvspan(OTHER, 1e3, color=ANSWERS[NO][0], zorder=0)
  axes.set_title('the limit cases of groups, and Theorem 4.1', fontsize=11)
  axes.set_xscale('log')
  axes.set_xlim(ZERO / 3, 1e3)
  ticks = [ZERO, 1e-15, 1e-12, 1e-9, 1e-6, SAME, OTHER, 1]
  names = ['0', *(f'$10^{{{np.log10(x):.0f}}}$' for x in ticks[1:-1]), '1']
  axes.set_xticks(ticks, names, fontsize=9)
  axes.minorticks_off()
  axes.set_yticks(range(len(layer)), layer, fontsize=8)
  axes.set_ylim(len(layer) - 0.5, -0.5)
  axes.spines[['top', 'right', 'left']].set_visible(False)
  axes.tick_params('y', length=0)
  axes.grid(axis='y', color='0.85')
  axes.set_xlabel(
    'relative deviation of output and gradients, or of the two sides; one '
    'point a seed',
    fontsize=9,
  )


def add_legend(figure: Figure) -> None:
  """What colours, numbers and marks of the cells mean."""
  handles = [
    Patch(color=ANSWERS[YES][0], label='the change is not seen'),
    Patch(color=ANSWERS[NO][0], label='it is seen'),
    Patch(color=ANSWERS[UNDECIDED][0], label='undecided'),
    Patch(
      facecolor='none',
      edgecolor=DISAGREES,
      linewidth=2,
      label='other than in the paper',
    ),
    Patch(
      color='none', label=f"{MARKS[YES]} {MARKS[NO]} the papers' yes and no"
    ),
    Patch(color='none', label='numbers: relative deviation, worst seed'),
  ]
  figure.legend(
    handles=handles,
    loc='upper center',
    bbox_to_anchor=(0.5, 0.945),
    ncols=len(handles),
    columnspacing=1.2,
    handlelength=1.5,
    frameon=False,
    fontsize=9,
  )
