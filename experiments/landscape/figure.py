"""The figure: bands along the gradient and training curves; the paper's."""

import json
import math
import pathlib
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.base import Experiment
from experiments.landscape.analysis import TO_MATCH
from experiments.landscape.runs import ARMS, BASELINE
from normlab.analysis import plotting

REFERENCE = pathlib.Path(__file__).parents[1] / 'published' / 'curves.json'
# Of a panel: larger letters where the page makes the figure small.
WIDTH = 0.78
COMPARED = (BASELINE, 'BN')
# The paper's curves are of single batches: mean over so many points, a hundred
# steps apart.
SMOOTHED = 9
SMOOTHNESS = 'effective smoothness'
PAPER_SHORTEST, PAPER_TARGET = 0.05, 0.9


def plot(experiment: Experiment, table: pd.DataFrame, scale: str) -> Figure:
  """Three bands with and without BN; below, training curves and the paper's.

  Args:
    experiment: judges.
    table: one row per run and step.
    scale: a name of its scales.
  """
  figure, panels = plotting.panels(3, widths=(WIDTH,) * 3, rows=2)
  loss, gradient, smoothness, ours, *papers = panels
  arms = experiment.arms(table)
  draw_band(loss, arms, 'loss')
  draw_band(gradient, arms, 'gradient')
  for name in COMPARED:
    own = arms[arms['arm'] == name]
    plotting.band(
      smoothness, own, of='smoothness', label=name, **style_of(name)
    )
  shortest, longest = arms['shortest'].max(), arms['longest'].max()
  limit_of_shortest(smoothness, shortest)
  config = experiment.scales[scale].config()
  loss.set_yscale('log')
  name = config.data.name
  lengths = f'range over steps of {shortest:.3g} to {longest:.3g}'
  loss.set(title=f'{name}: loss along the gradient', ylabel=lengths)
  gradient.set(title='change of the gradient along it', ylabel=lengths)
  smoothness.set(title=SMOOTHNESS)
  draw_training(ours, arms)
  ours.set(title=f'{name}: training accuracy')
  draw_paper(*papers, like=ours)
  for axes in panels:
    axes.title.set_fontsize(11)
    axes.set_xlabel('training steps')
    axes.set_xlim(0, None)
    axes.locator_params('x', nbins=4)
  title = finding(experiment.judge(table), arms['target'].max())
  plotting.legend_outside(figure, ours, title=title)
  figure.subplots_adjust(
    left=0.06, right=0.99, bottom=0.07, top=0.87, wspace=0.2, hspace=0.36
  )
  return figure


def style_of(name: str) -> dict[str, Any]:
  """The line of an arm."""
  return {'color': ARMS[name].color, 'linewidth': 1.6}


def draw_band(axes: Axes, arms: pd.DataFrame, of: str) -> None:
  """From the low to the high end over the step lengths; medians over seeds."""
  for name in COMPARED:
    ends = [f'{of}_low', f'{of}_high']
    own = arms[arms['arm'] == name].dropna(subset=ends)
    low, high = own.groupby('step')[ends].median().to_numpy().T
    steps, color = sorted({*own['step']}), ARMS[name].color
    axes.fill_between(steps, low, high, color=color, alpha=0.25, linewidth=0)
    for end in (low, high):
      axes.plot(steps, end, color=color, linewidth=1)


def limit_of_shortest(axes: Axes, shortest: float) -> None:
  """A line where the shortest step changes the gradient by its own norm."""
  axes.axhline(1 / shortest, color='0.6', linewidth=0.8, zorder=0)
  text = f'grey: 1 / shortest step of {shortest:.3g}'
  axes.text(0.98, 0.04, text, color='0.4', ha='right', transform=axes.transAxes)
  axes.set_ylim(0, None)


def draw_training(axes: Axes, arms: pd.DataFrame) -> None:
  """Training accuracy of all arms, and where the steps are counted to."""
  for name in ARMS:
    own = arms[arms['arm'] == name]
    draw = {'of': 'train_accuracy', 'label': name, **style_of(name)}
    plotting.band(axes, own, **draw)
    died = own.groupby('seed')['diverged_at'].first()
    plotting.crosses(axes, died, style_of(name))
  plotting.accuracy_axis(axes, 1.0)
  axes.axhline(arms['target'].max(), color='0.6', linewidth=0.8, zorder=0)


def draw_paper(training: Axes, smoothness: Axes, *, like: Axes) -> None:
  """The digitised curves of Figures 5a and 4c."""
  published = json.loads(REFERENCE.read_text(encoding='utf-8'))
  for name, arm in ARMS.items():
    curve = published['santurkar2018_fig5a_train_acc'][arm.paper_name]
    steps, values = np.array(curve).T
    smooth = pd.Series(values / 100).rolling(SMOOTHED, center=True).mean()
    training.plot(steps, smooth, **style_of(name))
    if name in COMPARED:
      points = published['santurkar2018_fig4c_beta'][arm.paper_name]
      smoothness.plot(*zip(*points, strict=True), **style_of(name))
  plotting.share_accuracy(training, like)
  plotting.percent(training)
  training.axhline(PAPER_TARGET, color='0.6', linewidth=0.8, zorder=0)
  training.set(title='the paper, CIFAR-10: training accuracy, smoothed')
  limit_of_shortest(smoothness, PAPER_SHORTEST)
  smoothness.set(title=f'the paper, CIFAR-10: {SMOOTHNESS}')


def finding(judged: pd.DataFrame, target: float) -> str:
  """The figure's title: what came out, in numbers."""
  ratios = judged.set_index(['outcome', 'arm'])['estimate'].map(factor)
  l1, l2, linf = (ratios[TO_MATCH, arm] for arm in ('L1', 'L2', 'Linf'))
  return (
    f'Along the gradient, loss and gradient vary {ratios["loss_band", "BN"]} '
    f'and {ratios["gradient_band", "BN"]} times as much with BN as without; '
    f'to {target:.0%}, L1, L2, Linf take {l1}, {l2}, {linf} times the steps of '
    'BN'
  )


def factor(ratio: float) -> str:
  """A ratio as text."""
  if math.isnan(ratio):
    return 'unknown'
  return f'{ratio:.2f}' if math.isfinite(ratio) else '\N{INFINITY}'
