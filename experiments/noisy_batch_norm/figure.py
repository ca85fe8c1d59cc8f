"""The figure: accuracies beside the paper's, changes by layer, histograms."""

import json
import math
import pathlib

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from experiments.base import Experiment
from experiments.noisy_batch_norm.analysis import (
  EDGES,
  FIRST_SEED,
  PERCENTILES,
  layers_of,
)
from experiments.noisy_batch_norm.runs import ARMS, CONTROL, TARGETS
from normlab.analysis import line_styles, plotting

REFERENCE = pathlib.Path(__file__).parents[1] / 'published' / 'curves.json'
PAPER_TARGET = 90
SHOWN = (-3.0, 3.0)
UNIT_COLOR = '#d55e00'


def plot(experiment: Experiment, table: pd.DataFrame, scale: str) -> Figure:
  """Training accuracies, ours above the paper's; changes; histograms.

  Args:
    experiment: judges.
    table: one row per run and step.
    scale: a name of its scales.
  """
  figure = Figure(figsize=(16, 7.6), dpi=150)
  grid = figure.add_gridspec(2, 3, width_ratios=(1, 0.72, 1.35))
  panels = [figure.add_subplot(grid[row, i]) for i in (0, 1) for row in (0, 1)]
  for axes in panels:
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(color='0.92')
    axes.set_axisbelow(True)
  ours, paper, mean, variance = panels
  name = experiment.scales[scale].config().data.name
  draw_ours(ours, table, experiment.outcomes(table), name)
  draw_paper(paper)
  draw_changes(mean, table, 'relative_mean')
  draw_changes(variance, table, 'relative_variance')
  mean.set(title='change of the mean, standard deviations')
  variance.set(title='change of the variance, relative', xlabel='layer')
  title = finding(experiment.judge(table))
  plotting.legend_outside(figure, ours, title=title)
  figure.subplots_adjust(
    left=0.05, right=0.99, bottom=0.08, wspace=0.2, hspace=0.36
  )
  draw_histograms(figure, grid[:, 2], table)
  return figure


def style_of(name: str) -> dict:
  """The line of an arm; dots are no norm, with noise."""
  style = line_styles.style(ARMS[name].norm)
  return style | ({'linestyle': line_styles.DOTS} if name == CONTROL else {})


def draw_ours(
  axes: Axes, table: pd.DataFrame, outcomes: pd.DataFrame, data: str
) -> None:
  """Training accuracies over seeds, the target, and when it is reached."""
  target = TARGETS[data]
  for name in ARMS:
    own, style = table[table['arm'] == name], style_of(name)
    plotting.band(axes, own, label=name, of='train_accuracy', **style)
    middle = float(np.median(outcomes.loc[name, 'training_steps']))
    if math.isfinite(middle):
      plotting.diamond(axes, middle, target, style)
    plotting.crosses(axes, outcomes.loc[name, 'diverged_at'], style)
  axes.axhline(target, color='0.6', linewidth=0.8, zorder=1)
  axes.set(title=f'{data}, this code', ylabel='training accuracy')
  axes.set(xlim=(0, None), ylim=(0, 1), xlabel='training steps')
  plotting.percent(axes)


def draw_paper(axes: Axes) -> None:
  """The digitised curves of the paper's Figure 2: of single batches."""
  published = json.loads(REFERENCE.read_text(encoding='utf-8'))
  curves = published['santurkar2018_fig2_train_acc']
  for name, arm in ARMS.items():
    if arm.paper_curve is None:
      continue
    style = style_of(name)
    steps, accuracy = np.transpose(curves[arm.paper_curve])
    axes.plot(steps, accuracy / 100, **(style | {'linewidth': 1.2}))
    plotting.diamond(axes, arm.paper_steps, PAPER_TARGET / 100, style)
  axes.axhline(PAPER_TARGET / 100, color='0.6', linewidth=0.8, zorder=1)
  axes.set(
    title='CIFAR-10, the paper (digitised, to step 8,000)',
    ylabel='training accuracy',
    xlabel='training steps',
    xlim=(0, 8_000),
    ylim=(0, 1),
  )
  plotting.percent(axes)


def draw_changes(axes: Axes, table: pd.DataFrame, quantity: str) -> None:
  """The mean over training of a change, by layer; the range over seeds."""
  columns = layers_of(table.columns, quantity)
  numbers = np.arange(1, len(columns) + 1)
  for place, name in enumerate(ARMS):
    own = table[table['arm'] == name].groupby('seed')
    found = own[[f'{quantity}/{layer}' for layer in columns]].mean()
    low, high = found.min().to_numpy(), found.max().to_numpy()
    middle, style = found.mean().to_numpy(), style_of(name)
    x = numbers + 0.08 * (place - 1.5)
    axes.plot(x, middle, marker=line_styles.MARKERS[place], **style)
    axes.vlines(x, low, high, color=style['color'], linewidth=3, alpha=0.4)
  axes.set_xticks(numbers)
  axes.set_ylim(0, None)


def draw_histograms(
  figure: Figure, place: SubplotSpec, table: pd.DataFrame
) -> None:
  """Distributions over time, first seed: a row a layer, a column an arm."""
  columns = [c for c in table if c.startswith('histogram/')]
  layers = sorted({c.split('/')[1] for c in columns})
  panels = place.subgridspec(
    len(layers), len(ARMS), wspace=0.08, hspace=0.1
  ).subplots(sharex=True, sharey=True, squeeze=False)
  first = table[table['seed'] == FIRST_SEED]
  for row, layer in zip(panels, layers, strict=True):
    own = [c for c in columns if c.split('/')[1] == layer]
    for axes, name in zip(row, ARMS, strict=True):
      shares = first[first['arm'] == name].dropna(subset=own)
      if shares.empty:
        plotting.note(axes, 'no measurement')
        continue
      axes.pcolormesh(
        *(shares['step'], EDGES[:-1] + np.diff(EDGES) / 2),
        # The root shows the tails beside the peak of a rectified network.
        np.sqrt(shares[own].to_numpy(float).T),
        cmap='Greys',
        vmin=0,
        vmax=0.5,
        shading='nearest',
        rasterized=True,
      )
      for percentile, width in zip(PERCENTILES, (0.6, 1.2, 0.6), strict=True):
        axes.plot(
          *(shares['step'], shares[f'unit/{layer}/{percentile}']),
          color=UNIT_COLOR,
          linewidth=width,
        )
    row[0].set_ylabel(f'input of ReLU {layer[5:]}', fontsize=9)
  panels[0, 0].set(ylim=SHOWN)
  for axes, name in zip(panels[0], ARMS, strict=True):
    axes.set_title(name, fontsize=10)
  for axes in panels[-1]:
    axes.set_xlabel('training steps')


def finding(judged: pd.DataFrame) -> str:
  """The figure's title: what came out, in numbers."""
  to_bn, to_standard, mean, variance, control = judged['estimate']
  if math.isfinite(to_bn) and to_bn > 0:
    steps = f'With noise BatchNorm takes {to_bn:.2f} times the steps'
  else:
    steps = 'With noise BatchNorm mostly never reaches the target'
  if math.isfinite(to_standard) and to_standard > 0:
    steps += f", {to_standard:.2f} of the standard network's"
  return (
    f'{steps} (means move {mean:.1f}, variances {variance:.1f} times as much); '
    f'with noise alone, {control:.0%} of the seeds still train'
  )
