"""The figure: Figure 3 of the paper, and the cosine of all layers over time."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.base import Experiment
from experiments.covariate_shift.analysis import SHOWN, of_layers
from experiments.covariate_shift.runs import ARMS, CNN, LINEAR, PAIRS
from normlab.analysis import line_styles, plotting
from normlab.analysis.claims import DIFFERENCE, RATIO

NAMES = {CNN: 'convolutional network', LINEAR: 'linear network'}
TITLES = (
  'training',
  "length of G \N{MINUS SIGN} G'",
  "cosine of G and G'",
  'cosine, all layers, without BN',
  'cosine, all layers, with BN',
)
LABELS = {'none': 'without BN', 'batch': 'with BN'}
# Of the two layers of `SHOWN`.
LINES = ('-', (0, (4, 1.5)))


def plot(experiment: Experiment, table: pd.DataFrame, scale: str) -> Figure:
  """Training, difference and cosine of two layers, cosine of all; by rate.

  Args:
    experiment: judges.
    table: one row per run and step.
    scale: a name of its scales.
  """
  height = 2.7 * len(PAIRS) + 1.4
  figure = Figure(figsize=(17, height), dpi=150)
  grid = figure.subplots(len(PAIRS), len(TITLES), squeeze=False)
  for row, pair in zip(grid, PAIRS.items(), strict=True):
    draw_pair(row, table, pair)
  for axes, title in zip(grid[0], TITLES, strict=True):
    axes.set_title(title, fontsize=11)
  for axes in grid[-1]:
    axes.set_xlabel('training steps')
  title = finding(experiment.judge(table))
  plotting.legend_outside(figure, grid[0, 0], title=title)
  figure.subplots_adjust(
    left=0.06,
    right=0.97,
    bottom=0.6 / height,
    top=1 - 1.1 / height,
    wspace=0.32,
    hspace=0.28,
  )
  return figure


def draw_pair(row: list[Axes], table: pd.DataFrame, pair: tuple) -> None:
  """The panels of one network at one rate, without and with BatchNorm."""
  training, difference, cosine, *maps = row
  network = ARMS[pair[0]].network
  of = 'train_accuracy' if network == CNN else 'train_loss'
  for name, heat in zip(pair, maps, strict=True):
    own, norm = table[table['arm'] == name], ARMS[name].norm
    style = line_styles.style(norm)
    plotting.band(training, own, label=LABELS[norm], of=of, **style)
    for axes, quantity in ((difference, 'difference'), (cosine, 'cosine')):
      for layer, line in zip(SHOWN[network], LINES, strict=True):
        look = style | {'linestyle': line, 'linewidth': 1.4}
        column = f'{quantity}/{layer}'
        plotting.band(axes, own, label=layer, of=column, **look)
    draw_map(heat, own)
  rate = table.loc[table['arm'] == pair[0], 'rate'].max()
  training.set_ylabel(f'{NAMES[network]}\nrate {rate:g}: {WORDS[of]}')
  difference.set_yscale('log')
  cosine.set_ylim(-1.05, 1.05)
  lower, upper = (name.replace('layer', 'layer ') for name in SHOWN[network])
  for axes in (difference, cosine):
    axes.set_ylabel(f'{lower} solid, {upper} dashed', fontsize=8)
  for axes in row[:3]:
    axes.grid(color='0.92')
    axes.spines[['top', 'right']].set_visible(False)
    axes.set_xlim(0, None)


WORDS = {'train_accuracy': 'accuracy', 'train_loss': 'loss'}


def draw_map(axes: Axes, own: pd.DataFrame) -> None:
  """The cosine of each layer at each step, the mean over seeds."""
  runs = [of_layers(run, 'cosine') for _, run in own.groupby('seed')]
  mean = pd.concat(runs).groupby(level=0).mean()[list(runs[0])]
  drawn = axes.pcolormesh(
    mean.index,
    range(1, 1 + len(mean.columns)),
    mean.T,
    vmin=-1,
    vmax=1,
    cmap='RdBu',
    shading='nearest',
    rasterized=True,
  )
  axes.set_ylabel('layer', labelpad=1)
  axes.yaxis.get_major_locator().set_params(integer=True)
  axes.figure.colorbar(drawn, ax=axes, pad=0.02)


def finding(judged: pd.DataFrame) -> str:
  """The figure's title: what came out at the larger rates, in numbers."""
  parts = []
  for without in (CNN, LINEAR):
    own = judged[judged['against'] == without].set_index('measure')
    ratio, cosine = (own.loc[kind, 'estimate'] for kind in (RATIO, DIFFERENCE))
    parts.append(
      f'{ratio:.2g} times as much in the {NAMES[without]} '
      f'(cosine {cosine:+.2f})'
    )
  return (
    'With BatchNorm, updates of earlier layers change gradients '
    + ', '.join(parts)
  )
