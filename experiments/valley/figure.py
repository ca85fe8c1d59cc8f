"""The figure: a valley and a bowl with the path in each, and all runs."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.base import Experiment
from experiments.valley import quadratic
from experiments.valley.runs import ARMS, LINEAR, STEPS
from normlab.analysis import line_styles, plotting

# The two weights of the contours: features of these deviations, with the
# correlation of the data set, and centred, so that the bias plays no part.
DEVIATIONS = (0.5, 2.0)
CORRELATION = 0.5
# Contours where the loss is this share of that at the start.
LEVELS = 4.0 ** -np.arange(6)[::-1]
MARKERS = ('o', 's', '^', 'D')


def plot(experiment: Experiment, table: pd.DataFrame, scale: str) -> Figure:
  """Contours of raw and standardized features; steps by condition number.

  Args:
    experiment: has the outcomes.
    table: one row per run and step.
    scale: of no use here.
  """
  del scale
  figure, (valley, bowl, runs) = plotting.panels(3, widths=(0.8, 0.8, 1))
  correlations = np.array([[1, CORRELATION], [CORRELATION, 1]])
  raw = 2 * np.outer(DEVIATIONS, DEVIATIONS) * correlations
  contours(valley, raw, f'raw: deviations {DEVIATIONS[0]} and {DEVIATIONS[1]}')
  contours(bowl, 2 * correlations, 'standardized')
  found = experiment.outcomes(table)
  draw_runs(runs, found)
  plotting.legend_outside(figure, runs, title=finding(found))
  figure.subplots_adjust(left=0.05, right=0.99, bottom=0.12, wspace=0.22)
  return figure


def contours(axes: Axes, matrix: np.ndarray, title: str) -> None:
  """The loss of two weights, and gradient descent from the worst start."""
  start = quadratic.worst_error(matrix)
  path = quadratic.path(matrix, start)
  # The contour through the start, whose loss is 1, fits.
  side = 1.05 * np.sqrt(2 * np.linalg.inv(matrix).diagonal().max())
  line = np.linspace(-side, side, 201)
  errors = np.stack(np.meshgrid(line, line), -1)
  loss = np.einsum('...i,ij,...j->...', errors, matrix, errors) / 2
  axes.contour(line, line, loss, LEVELS, colors='0.6', linewidths=0.9)
  axes.plot(
    *path.T, color=line_styles.LINE_COLORS[3], marker='o', markersize=3.5
  )
  axes.plot(0, 0, marker='+', color='black', markersize=10)
  condition = quadratic.curvature(matrix).condition_number
  axes.set(
    aspect='equal',
    xlabel='error of the first weight',
    ylabel='error of the second weight',
    title=f'{title}\ncondition number {condition:.0f}: {len(path) - 1} steps '
    'to 1% of the loss',
  )


def draw_runs(axes: Axes, found: pd.DataFrame) -> None:
  """A mark for each run, below the line that theory draws."""
  never = 8 * found['most_updates'].max()
  for number, arm in enumerate(ARMS):
    own, place = found.loc[arm], number % len(LINEAR)
    is_linear = arm in LINEAR
    axes.plot(
      own['condition_number'],
      own['updates_to_1_percent'].clip(upper=never),
      MARKERS[place],
      color=line_styles.LINE_COLORS[place],
      markerfacecolor=None if is_linear else 'none',
      alpha=0.8,
      label=arm if is_linear else None,
    )
  axes.axhline(never, color='0.6', linewidth=0.8, linestyle=line_styles.DOTS)
  text = f'networks that do not arrive in {STEPS:,} steps'
  axes.annotate(
    text, (1, never), (0, -13), textcoords='offset points', color='0.3'
  )
  axes.plot([], [], 'o', color='0.3', markerfacecolor='none', label='network')
  largest = math.log10(2 * found['condition_number'].max())
  line = np.logspace(0, largest, 200)
  steps = [max(1, quadratic.most_steps(k)) for k in line]
  axes.plot(line, steps, color='0.3', label='theory: at most')
  axes.set(
    xscale='log',
    yscale='log',
    xlabel='condition number of the linear model',
    ylabel='steps to 1% of the loss at the start',
    title='10 features: the runs',
  )


def finding(found: pd.DataFrame) -> str:
  """The figure's title: what came out, in numbers."""
  median = found.groupby('arm')[['updates_to_1_percent', 'condition_number']]
  median = median.median()
  raw, prepared = median.loc['raw'], median.loc['standardized']
  steps = [own['updates_to_1_percent'] for own in (raw, prepared)]
  if not all(map(math.isfinite, steps)):
    return 'Gradient descent does not arrive on raw features, or standardized'
  numbers = [own['condition_number'] for own in (raw, prepared)]
  return (
    f'A linear model is at 1% of its loss in {steps[1]:,.0f} steps on '
    f'standardized features, in {steps[0]:,.0f} on raw ones: the condition '
    f'number falls from {numbers[0]:,.0f} to {numbers[1]:,.0f}'
  )
