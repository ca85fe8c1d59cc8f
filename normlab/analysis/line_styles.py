"""Styles of lines: one colour per norm everywhere, readable without colours."""

import colorsys
import math
import zlib
from typing import Any

from matplotlib import colors

# First those of Okabe & Ito, which colour-blind people can tell apart, and
# black; twenty such colours do not exist, so the rest differ in brightness too.
COLORS = {
  'none': '#000000',
  'scale_bias': '#7f7f7f',
  'noise': '#bbbbbb',
  'batch': '#0072b2',
  'batch_renorm': '#56b4e9',
  'lp_batch': '#332288',
  'noisy_batch': '#88ccee',
  'mean_only_batch': '#4477dd',
  'layer': '#e69f00',
  'group': '#009e73',
  'instance': '#cc79a7',
  'rms': '#d55e00',
  'switchable': '#882255',
  'filter_response': '#999933',
  'evonorm_b0': '#aa4499',
  'evonorm_s0': '#661100',
  'dynamic_tanh': '#44aa99',
  'weight': '#117733',
  'spectral': '#dd3377',
  'weight_standardization': '#33cc33',
}

# Paul Tol's muted palette, for norms without a colour of their own.
SPARE_COLORS = ('#882255', '#999933', '#332288', '#44aa99', '#aa4499')

DOTS = (0, (1, 1))
# Mark and line of the norms, in the order of `COLORS`: ten marks and three
# lines have no common factor, so that the first 30 pairs differ.
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '<', '>', 'p')
LINES = ('-', (0, (5, 1.5)), (0, (7, 1.5, 1.5, 1.5)))
# Okabe & Ito's palette, for lines that are no norms.
LINE_COLORS = (
  '#0072b2',
  '#e69f00',
  '#009e73',
  '#d55e00',
  '#cc79a7',
  '#56b4e9',
  '#000000',
)


def color_of(norm: str) -> str:
  """The colour of a norm; a name that is not in `COLORS` keeps a spare one."""
  spare = SPARE_COLORS[zlib.crc32(norm.encode()) % len(SPARE_COLORS)]
  return COLORS.get(norm, spare)


def style(
  norm: str, multiplier: float = 1, activation: str = 'relu'
) -> dict[str, Any]:
  """How a network's line looks, the same in every figure.

  The hue is the norm, the shade the learning-rate multiplier (higher is
  lighter), dots are a sigmoid, and dashes a multiplier other than one, so that
  a print without colours can be read.
  """
  hue, lightness, saturation = colorsys.rgb_to_hls(
    *colors.to_rgb(color_of(norm))
  )
  lift = 0.33 * min(1, math.log10(max(multiplier, 1)) / math.log10(30))
  lightness += lift * (1 - lightness) / 0.67
  color = colors.to_hex(colorsys.hls_to_rgb(hue, lightness, saturation))
  dashes = {1: '-', 5: (0, (5, 1.5)), 30: (0, (7, 1.5, 1.5, 1.5))}
  line = dashes.get(multiplier, '-')
  return {
    'color': color,
    'linestyle': DOTS if activation == 'sigmoid' else line,
    'linewidth': 1.8,
  }


def marked_style(norm: str) -> dict[str, Any]:
  """How the line of a norm looks where x is not the step; with a mark.

  Without colours, line and mark together tell the norms apart.
  """
  known = list(COLORS)
  place = known.index(norm) if norm in COLORS else zlib.crc32(norm.encode())
  return {'color': color_of(norm), **line_and_mark(place)}


def numbered_style(number: int) -> dict[str, Any]:
  """The colour of a line that is no norm, by its number from 0."""
  color = LINE_COLORS[number % len(LINE_COLORS)]
  return {'color': color, **line_and_mark(number)}


def line_and_mark(number: int) -> dict[str, Any]:
  """The line style, which tells lines apart in print without colours."""
  return {
    'linestyle': LINES[number % len(LINES)],
    'marker': MARKERS[number % len(MARKERS)],
    'linewidth': 1.6,
    'markersize': 6,
  }
