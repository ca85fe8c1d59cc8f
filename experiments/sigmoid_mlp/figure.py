"""The figure: accuracies and percentiles, ours above the paper's."""

import json
import math
import pathlib

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.base import Experiment
from experiments.sigmoid_mlp.analysis import PERCENTILES
from experiments.sigmoid_mlp.runs import ARMS, BASELINE
from normlab.analysis import line_styles, plotting

REFERENCE = pathlib.Path(__file__).parents[1] / 'published' / 'curves.json'
LINES = {'p15': '--', 'p50': '-', 'p85': '--'}


def plot(experiment: Experiment, table: pd.DataFrame, scale: str) -> Figure:
  """Accuracy and percentiles of both networks; below, the paper's.

  Args:
    experiment: judges.
    table: one row per run and step.
    scale: a name of its scales.
  """
  figure, panels = plotting.panels(3, rows=2)
  (ours, *inputs), (paper, *paper_inputs) = panels[:3], panels[3:]
  arms = experiment.arms(table)
  draw_accuracy(ours, experiment, table)
  config = experiment.scales[scale].config()
  ours.set(title=f'{config.data.name}, this code', ylabel='validation accuracy')
  for axes, name in zip(inputs, ARMS, strict=True):
    draw_percentiles(axes, arms[arms['arm'] == name], style_of(name))
    axes.set(title=f'{name}: input of a unit, last hidden layer')
  same_height(inputs)
  published = json.loads(REFERENCE.read_text(encoding='utf-8'))
  draw_paper(paper, paper_inputs, published)
  for axes in panels:
    axes.set_xlabel('training steps')
  title = finding(experiment.judge(table))
  plotting.legend_outside(figure, ours, title=title)
  figure.subplots_adjust(
    left=0.06, right=0.99, bottom=0.07, wspace=0.16, hspace=0.38
  )
  return figure


def style_of(name: str) -> dict:
  """The line of an arm."""
  return line_styles.style(ARMS[name].norm)


def draw_accuracy(
  axes: Axes, experiment: Experiment, table: pd.DataFrame
) -> None:
  """Accuracies over seeds, the target, and when it is reached."""
  target = experiment.target(table)
  arms, outcomes = experiment.arms(table), experiment.outcomes(table)
  for name in ARMS:
    plotting.band(axes, arms[arms['arm'] == name], label=name, **style_of(name))
    middle = float(np.median(outcomes.loc[name, 'steps_to_match']))
    if math.isfinite(middle):
      plotting.diamond(axes, middle, target, style_of(name))
    plotting.crosses(axes, outcomes.loc[name, 'diverged_at'], style_of(name))
  axes.axhline(target, color='0.6', linewidth=0.8, zorder=0)
  plotting.accuracy_axis(axes, table['accuracy'].max())


def draw_percentiles(axes: Axes, own: pd.DataFrame, style: dict) -> None:
  """Those of one unit in the first seed, on those of all units in all seeds."""
  measured = own.dropna(subset='unit/p50')
  over_seeds = measured.groupby('step')[['all/p15', 'all/p85']].mean()
  axes.fill_between(
    over_seeds.index,
    over_seeds['all/p15'],
    over_seeds['all/p85'],
    color=style['color'],
    alpha=0.12,
    linewidth=0,
  )
  first = measured[measured['seed'] == measured['seed'].min()]
  for percentile in PERCENTILES:
    line = style | {'linestyle': LINES[percentile]}
    axes.plot(first['step'], first[f'unit/{percentile}'], **line)


def draw_paper(
  accuracy: Axes, inputs: list[Axes], published: dict[str, dict]
) -> None:
  """The digitised curves of the paper's Figure 1, against steps."""
  curves = published['ioffe2015_fig1a_mnist_test_acc_vs_thousand_steps']
  units = published['ioffe2015_fig1bc_percentiles_vs_thousand_steps']
  for axes, name in zip(inputs, ARMS, strict=True):
    key, style = ARMS[name].curve, style_of(name)
    accuracy.plot(*in_steps(curves[key]), **style)
    plotting.diamond(
      accuracy, ARMS[name].paper_steps, ARMS[BASELINE].paper_accuracy, style
    )
    for percentile in PERCENTILES:
      line = style | {'linestyle': LINES[percentile]}
      axes.plot(*in_steps(units[key][percentile]), **line)
    axes.set(title=f'{name}, the paper')
  same_height(inputs)
  target = ARMS[BASELINE].paper_accuracy
  accuracy.axhline(target, color='0.6', linewidth=0.8, zorder=0)
  plotting.accuracy_axis(accuracy, 0.982)
  accuracy.set(
    title='MNIST, the paper (digitised)',
    ylabel='test accuracy',
    ylim=(0.7, None),
  )


def in_steps(points: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
  """Thousands of steps, as steps, and values."""
  thousands, values = np.transpose(points)
  return 1000 * thousands, values


def same_height(panels: list[Axes]) -> None:
  """One vertical axis for panels that are compared."""
  limits = [axes.get_ylim() for axes in panels]
  for axes in panels:
    axes.set_ylim(
      min(low for low, _ in limits), max(high for _, high in limits)
    )


def finding(judged: pd.DataFrame) -> str:
  """The figure's title: what came out, in numbers."""
  steps, points, drift = judged['estimate']
  if steps == 0:
    sooner = 'gets where most seeds without it never arrive'
  elif math.isfinite(steps):
    sooner = f'takes {steps:.2f} times the steps'
  else:
    sooner = 'does not arrive where the network without it ends'
  where = 'higher' if points > 0 else 'lower'
  ends = f'{abs(100 * points):.1f} points {where}' if points else 'as high'
  return (
    f'Sigmoids: BatchNorm {sooner}, ends {ends}, and the input of a unit '
    f'drifts {drift:.2f} times as far'
  )
