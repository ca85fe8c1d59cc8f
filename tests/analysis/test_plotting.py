import math
import runpy

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import colors, pyplot

from normlab import norms
from normlab.analysis import line_styles, plotting


@pytest.fixture
def curves():
  """Two seeds."""
  return pd.DataFrame(
    {
      'step': [10, 20, 10, 20],
      'accuracy': [0.2, 0.6, 0.4, 1.0],
      'seed': [0, 0, 1, 1],
    }
  )


@pytest.fixture
def figure(curves):
  figure, axes = plotting.panels(2)
  for norm in norms.NORMS:
    style = line_styles.style(norm)
    plotting.band(axes[0], curves, label=f'{norm} x5', **style)
  plotting.accuracy_axis(axes[0], 0.9)
  plotting.legend_outside(figure, axes[0])
  return figure


def distance(first, second):
  difference = np.subtract(colors.to_rgb(first), colors.to_rgb(second))
  return np.abs(difference).max()


def test_colours_are_of_norms_that_exist_and_every_norm_gets_one():
  assert set(line_styles.COLORS) <= set(norms.NORMS)
  for norm in (*norms.NORMS, 'a norm of tomorrow'):
    assert colors.is_color_like(line_styles.color_of(norm))


def test_colours_of_norms_can_be_told_apart():
  values = list(line_styles.COLORS.values())
  for i, color in enumerate(values):
    for other in values[:i]:
      assert distance(color, other) > 0.15


@pytest.mark.parametrize('norm', list(norms.NORMS))
def test_style_without_a_multiplier_is_the_colour_of_the_norm(norm):
  style = line_styles.style(norm)
  assert distance(style['color'], line_styles.color_of(norm)) < 0.01
  assert style['linestyle'] == '-'


@pytest.mark.parametrize('norm', list(norms.NORMS))
def test_higher_multipliers_are_lighter_and_distinct(norm):
  shades = [line_styles.style(norm, m)['color'] for m in (1, 5, 30)]
  brightness = [sum(colors.to_rgb(shade)) for shade in shades]
  assert brightness == sorted(set(brightness))


def test_lines_can_be_told_apart_without_colours():
  lines = [
    line_styles.style('batch', multiplier, activation)['linestyle']
    for multiplier, activation in (
      (1, 'relu'),
      (5, 'relu'),
      (30, 'relu'),
      (1, 'sigmoid'),
    )
  ]
  assert len(set(map(str, lines))) == 4


def test_norms_can_be_told_apart_by_line_and_mark():
  looks = [line_styles.marked_style(norm) for norm in line_styles.COLORS]
  assert len({(str(s['linestyle']), s['marker']) for s in looks}) == len(looks)
  assert [s['color'] for s in looks] == list(line_styles.COLORS.values())
  assert line_styles.marked_style('a norm of tomorrow')['marker']


def test_lines_that_are_no_norms_differ_from_each_other():
  looks = [line_styles.numbered_style(number) for number in range(30)]
  assert (
    len({(s['color'], str(s['linestyle']), s['marker']) for s in looks}) == 30
  )
  assert len({s['color'] for s in looks[:7]}) == 7


def test_any_multiplier_has_a_style():
  for multiplier in (0.1, 2, 1000):
    style = line_styles.style('layer', multiplier)
    assert style['linestyle'] == '-'
    assert colors.is_color_like(style['color'])


def test_band_is_the_mean_within_the_range(curves):
  _, (axes,) = plotting.panels(1)
  plotting.band(axes, curves, label='A', **line_styles.style('batch'))
  (line,) = axes.get_lines()
  np.testing.assert_allclose(line.get_xydata(), [[10, 0.3], [20, 0.8]])
  assert line.get_label() == 'A'
  (range_,) = axes.collections
  corners = {tuple(v) for v in range_.get_paths()[0].vertices.round(6)}
  assert {(10, 0.2), (10, 0.4), (20, 0.6), (20, 1.0)} == corners


def test_rows_without_a_value_break_no_line(curves):
  _, (axes,) = plotting.panels(1)
  between = curves.assign(step=15, accuracy=math.nan, cosine=0.5)
  both = pd.concat([curves, between]).sort_values('step')
  style = line_styles.style('batch')
  plotting.seeds(axes, both, label='A', **style)
  plotting.band(axes, both, label='A', of='cosine', **style)
  *lines, cosine = (line.get_xydata().tolist() for line in axes.lines)
  assert lines == [[[10, 0.2], [20, 0.6]], [[10, 0.4], [20, 1.0]]]
  assert cosine == [[15, 0.5]]


def test_band_leaves_out_missing_values(curves):
  curves.loc[curves['seed'] == 1, 'accuracy'] = np.nan
  _, (axes,) = plotting.panels(1)
  plotting.band(axes, curves, label='A', **line_styles.style('batch'))
  (line,) = axes.get_lines()
  np.testing.assert_allclose(line.get_xydata(), [[10, 0.2], [20, 0.6]])


def test_diamond_stands_at_its_point():
  _, (axes,) = plotting.panels(1)
  plotting.diamond(axes, 3, 0.5, line_styles.style('batch'))
  (mark,) = axes.get_lines()
  assert mark.get_marker() == 'D'
  assert mark.get_markerfacecolor() == line_styles.COLORS['batch']
  plotting.diamond(axes, 3, 0.5, line_styles.style('batch', 1, 'sigmoid'))
  assert axes.get_lines()[1].get_markerfacecolor() == 'white'
  np.testing.assert_array_equal(mark.get_xydata(), [[3, 0.5]])


def test_crosses_stand_at_the_steps_of_divergence():
  _, (axes,) = plotting.panels(1)
  steps = pd.Series([7.0, np.nan, 9.0])
  plotting.crosses(axes, steps, line_styles.style('none'))
  (marks,) = axes.get_lines()
  assert marks.get_marker() == 'x'
  np.testing.assert_array_equal(marks.get_xdata(), [7, 9])


@pytest.mark.parametrize('count', [1, 2, 3, 4, 8])
def test_no_cross_of_a_heap_hides_another(count):
  figure, (axes,) = plotting.panels(1)
  axes.set_xlim(0, 2)
  crosses = [('#000000', number % 2 == 0) for number in range(count)]
  plotting.heap_of_crosses(axes, 1, crosses)
  figure.draw_without_rendering()
  places = [line.get_transform().transform((1, 0)) for line in axes.lines]
  assert len(places) == count
  for i, place in enumerate(places):
    assert all(np.abs(place - other).max() > 10 for other in places[:i])
  center = axes.transData.transform((1, 0))[0]
  assert np.mean([x for x, _ in places[:3]]) == pytest.approx(center, abs=1)
  low = axes.get_window_extent().y0
  assert all(low < y < low + 80 for _, y in places)


def test_panels_have_the_widths_that_are_asked_for():
  figure, axes = plotting.panels(2, widths=(1, 0.5))
  wide, narrow = (panel.get_window_extent().width for panel in axes)
  assert wide == pytest.approx(2 * narrow)
  assert figure.get_size_inches()[0] == pytest.approx(1.5 * 5.6)


def test_a_note_is_in_the_middle_of_its_panel():
  _, (axes,) = plotting.panels(1)
  plotting.note(axes, 'nothing')
  (text,) = axes.texts
  assert text.get_text() == 'nothing' and text.get_position() == (0.5, 0.5)


@pytest.mark.parametrize(
  'best, scale', [(0.5, 'linear'), (0.95, 'linear'), (0.97, 'logit')]
)
def test_accuracies_close_to_one_are_on_the_logit_scale(best, scale):
  _, (axes,) = plotting.panels(1)
  plotting.accuracy_axis(axes, best)
  assert axes.get_yscale() == scale


@pytest.mark.parametrize('best', [0.96, 0.99, 0.999, 1.0])
def test_logit_axis_leaves_room_above_the_best(best):
  _, (axes,) = plotting.panels(1)
  plotting.accuracy_axis(axes, best)
  low, high = axes.get_ylim()
  assert 0 < low < 0.1 and min(best, 0.9975) < high < 1
  assert all(tick < 1 for tick in axes.get_yticks())


def test_legend_is_outside_of_the_axes(figure):
  figure.draw_without_rendering()
  (legend,) = figure.legends
  labels = [text.get_text() for text in legend.get_texts()]
  assert labels == [f'{norm} x5' for norm in norms.NORMS]
  box = legend.get_window_extent()
  for axes in figure.axes:
    assert axes.get_legend() is None
    assert not box.overlaps(axes.get_window_extent())
  assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
  assert box.y1 <= figure.bbox.y1


@pytest.mark.parametrize('lines', [1, 6])
def test_caption_is_below_the_axes_and_their_labels(figure, lines):
  for axes in figure.axes:
    axes.set_xlabel('training steps')
  plotting.add_caption(figure, '\n'.join(['Small print.'] * lines))
  figure.draw_without_rendering()
  (caption,) = figure.texts
  box = caption.get_window_extent()
  assert box.y0 >= 0
  for axes in figure.axes:
    assert not box.overlaps(axes.get_tightbbox())


def test_figures_are_not_registered_with_pyplot(figure):
  del figure
  assert pyplot.get_fignums() == []


def test_saving_writes_png_and_svg(figure, tmp_path):
  plotting.save(figure, tmp_path / 'curves')
  png, svg = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
  assert png.startswith(b'\x89PNG')
  assert b'<svg' in svg and b'batch x5' in svg


def test_same_figure_gives_the_same_bytes(figure, tmp_path):
  for folder in ('a', 'b'):
    (tmp_path / folder).mkdir()
    plotting.save(figure, tmp_path / folder / 'curves')
  for name in ('curves.png', 'curves.svg'):
    first, second = (tmp_path / f / name for f in ('a', 'b'))
    assert first.read_bytes() == second.read_bytes()


def test_importing_and_saving_change_no_settings(figure, tmp_path):
  before = dict(matplotlib.rcParams)
  runpy.run_path(plotting.__file__)
  plotting.save(figure, tmp_path / 'curves')
  assert dict(matplotlib.rcParams) == before
