"""The figure: our curves beside the paper's, and the verdicts by target."""

import json
import math
import pathlib

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.base import Experiment
from experiments.speedup.runs import ARMS, BASELINE, CONTROLS
from normlab.analysis import claim_plots, line_styles, plotting

REFERENCE = pathlib.Path(__file__).parents[1] / 'published' / 'curves.json'
PAPER_TARGET = 0.722
# Of the strip, around the target: from 15 points below to 2 above.
BELOW, ABOVE, CELLS = 0.15, 0.02, 35


def plot(experiment: Experiment, table: pd.DataFrame, scale: str) -> Figure:
  """Our curves, the verdicts as a function of the target, the paper's curves.

  Args:
    experiment: judges.
    table: one row an evaluation.
    scale: a name of its scales.
  """
  figure, (ours, strip, paper) = plotting.panels(3, widths=(1, 0.16, 0.84))
  target = experiment.target(table)
  arms = experiment.arms(table)
  outcomes = experiment.outcomes(table)
  for name, arm in ARMS.items():
    style = line_styles.style(arm.norm, arm.multiplier, arm.activation)
    own = arms[arms['arm'] == name]
    # The range of a control that sometimes trains would hide the arms.
    draw = plotting.seeds if name in CONTROLS else plotting.band
    draw(ours, own, label=name, **style)
    steps = outcomes.loc[name, 'steps_to_match']
    middle = float(np.median(steps))
    if math.isfinite(middle):
      plotting.diamond(ours, middle, target, style)
    plotting.crosses(ours, outcomes.loc[name, 'diverged_at'], style)
  plotting.accuracy_axis(ours, table['accuracy'].max())
  ours.axhline(target, color='0.6', linewidth=0.8, zorder=0)
  config = experiment.scales[scale].config()
  ours.set(
    xlabel='training steps',
    ylabel='validation accuracy',
    title=f'{config.data.name}, this code',
  )
  top = min(target + ABOVE, plotting.TOP)
  targets = np.linspace(max(target - BELOW, 0.05), top, CELLS)
  claim_plots.strip(strip, experiment.strip(table, targets))
  claim_plots.legend_of_verdicts(strip)
  plotting.share_accuracy(strip, ours)
  strip.axhline(target, color='0.2', linewidth=0.8)
  draw_paper(paper)
  plotting.legend_outside(figure, ours, title=finding(experiment.judge(table)))
  figure.subplots_adjust(left=0.07, right=0.99, bottom=0.2, wspace=0.2)
  return figure


def finding(judged: pd.DataFrame) -> str:
  """The figure's title: what came out, in numbers."""
  ratios = judged.set_index('claim')['estimate']
  first, second = ratios.loc[1], ratios.loc[2]
  if first == 0:
    text = f'BatchNorm gets where most seeds of {BASELINE} never arrive'
  elif math.isfinite(first):
    text = f'BatchNorm gets where {BASELINE} ends in {first:.2f} of the steps'
  else:
    text = f'BatchNorm and {BASELINE}: too few seeds match to say a ratio'
  parts = [text]
  if math.isfinite(first) and math.isfinite(second):
    parts.append(
      f'at five times the learning rate in {second:.2f} of its steps'
    )
  return '; '.join(parts)


def draw_paper(axes: Axes) -> None:
  """The digitised curves of the paper's Figure 2."""
  published = json.loads(REFERENCE.read_text(encoding='utf-8'))
  curves = published['ioffe2015_fig2_val_acc_vs_million_steps']
  for name, points in curves.items():
    arm = ARMS[name]
    style = line_styles.style(arm.norm, arm.multiplier, arm.activation)
    axes.plot(*zip(*points, strict=True), **style)
    if arm.paper_steps:
      plotting.diamond(axes, arm.paper_steps, PAPER_TARGET, style)
  axes.axhline(PAPER_TARGET, color='0.6', linewidth=0.8, zorder=0)
  axes.set(
    xlabel='training steps (millions)',
    title='ImageNet, the paper (digitised)',
    ylim=(0.4, 0.8),
    xlim=(0, 32),
  )
  plotting.percent(axes)
