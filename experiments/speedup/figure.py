"""The figure and its caption: our curves beside the paper's."""

import json
import math
import pathlib
import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.speedup.analysis import outcomes, target_of
from experiments.speedup.networks import (
  BASELINE,
  NETWORKS,
  SCALES,
  SEEDS,
  network_config,
)
from normlab.analysis import plotting

REFERENCE = pathlib.Path(__file__).parents[1] / 'published' / 'curves.json'


def caption(scale: str) -> str:
  """What was run, and what differs from the paper."""
  config = SCALES[scale]()
  fast = network_config(scale, 'BN-x5', 0)
  return (
    f'Ours: {config.data.name}, the small Inception of arXiv:1611.03530 at '
    f'width {config.model.width:.3g}, batch {config.batch_size}, '
    f'{config.total_steps:,} steps, {len(SEEDS)} seeds (line: mean, band: '
    f'range, diamonds: mean steps to the best of the mean curve of {BASELINE}, '
    f'of the seeds that match, '
    f'crosses: divergence); SGD with momentum 0.9, learning rate '
    f'{config.optimizer.learning_rate:g} times the multiplier, decaying by '
    f'{config.schedule.decay_rate:g} every {config.schedule.decay_steps:,} '
    f'steps, BatchNorm momentum {fast.norm.momentum:g}; BN-x5, BN-x30 and '
    f'BN-x5-Sigmoid: every {fast.schedule.decay_steps:,} steps, no dropout '
    f'instead of {config.model.dropout:g}, weight decay '
    f'{fast.optimizer.weight_decay:g} instead of '
    f'{config.optimizer.weight_decay:g}. Paper (1502.03167, Fig. 2): ImageNet, '
    'BN-Inception with 13.6 million parameters, batch 32, asynchronous SGD '
    'over 31 million steps, learning rate 0.0015 times the multiplier; it also '
    'removes local response normalization, shuffles better and distorts '
    'photographs less, none of which exists here.'
  )


def plot(table: pd.DataFrame, scale: str) -> Figure:
  """Our curves beside the paper's, with the diamonds of its figure."""
  figure, (ours, paper) = plotting.panels(2)
  target = target_of(table)
  by_seed = outcomes(table)
  for name, network in NETWORKS.items():
    style = plotting.style(network.norm, network.multiplier, network.activation)
    own = table[table['network'] == name]
    plotting.band(ours, own, label=name, **style)
    steps = by_seed.loc[name, 'steps_to_match']
    if (steps < math.inf).any():
      mean = steps[steps < math.inf].mean()
      plotting.diamond(ours, mean, target, style)
    plotting.crosses(ours, by_seed.loc[name, 'diverged_at'], style)
  plotting.accuracy_axis(ours, table['accuracy'].max())
  ours.axhline(target, color='0.6', linewidth=0.8, zorder=0)
  ours.set(
    xlabel='training steps',
    ylabel='validation accuracy',
    title=f'{SCALES[scale]().data.name}, this code',
  )
  draw_paper(paper)
  plotting.legend_outside(figure, ours)
  plotting.add_caption(figure, textwrap.fill(caption(scale), 185))
  return figure


def draw_paper(axes: Axes) -> None:
  """The digitised curves of the paper's Figure 2."""
  published = json.loads(REFERENCE.read_text(encoding='utf-8'))
  for name, points in published[
    'ioffe2015_fig2_val_acc_vs_million_steps'
  ].items():
    network = NETWORKS[name]
    style = plotting.style(network.norm, network.multiplier, network.activation)
    axes.plot(*zip(*points, strict=True), **style)
    if network.paper_steps:
      plotting.diamond(axes, network.paper_steps, 0.722, style)
  axes.axhline(0.722, color='0.6', linewidth=0.8, zorder=0)
  axes.set(
    xlabel='training steps (millions)',
    ylabel='validation accuracy',
    title='ImageNet, the paper (digitised)',
    ylim=(0.4, 0.8),
    xlim=(0, 32),
  )
  plotting.percent(axes)
