import itertools
import math

import numpy as np
import pandas as pd
import pytest

from normlab.analysis import line_styles, plotting
from normlab.sweeps.results import arrangement, sweep_figure

NORM, MULTIPLIER = 'norm.name', 'optimizer.learning_rate_multiplier'


def row(accuracy=0.9, steps=50.0, status='done', **outcome):
  return {
    'status': status,
    'best_accuracy': accuracy,
    'steps_to_target': steps,
    **outcome,
  }


def sweep(*runs, target=0.9):
  """A table, from pairs of overrides and outcome."""
  table = pd.DataFrame(
    [{**overrides, **outcome} for overrides, outcome in runs]
  )
  fields = list(
    dict.fromkeys(key for overrides, _ in runs for key in overrides)
  )
  table.attrs = {'overrides': fields, 'target': target, 'target_of': None}
  return table


def grid(outcome=None, **fields):
  """All combinations of values; `norm_name` is norm.name, and so on."""
  keys = [key.replace('__', '.') for key in fields]
  outcome = outcome or (lambda overrides: row())
  rows = [
    dict(zip(keys, values, strict=True))
    for values in itertools.product(*fields.values())
  ]
  return sweep(*((overrides, outcome(overrides)) for overrides in rows))


NORMS_BY_RATE = {
  'norm__name': ['none', 'batch'],
  'optimizer__learning_rate_multiplier': [0.1, 1.0, 30.0],
  'seed': [0, 1],
}


def arranged(table):
  return arrangement.layout(table, table.attrs['overrides'])


def labels(drawn):
  return [text.get_text() for text in drawn.legends[0].get_texts()]


def marks(axes, marker):
  return [line for line in axes.lines if line.get_marker() == marker]


def settings_of_norms():
  return sweep(
    *(
      ({NORM: norm, 'norm.momentum': momentum, MULTIPLIER: rate}, row())
      for norm, momentum in (('none', None), ('batch', 0.9))
      for rate in (1.0, 5.0)
    )
  )


def zipped():
  return sweep(
    *(
      ({'optimizer.learning_rate': rate, 'batch_size': size}, row())
      for rate, size in ((0.1, 8), (0.2, 16))
    )
  )


@pytest.mark.parametrize(
  ('table', 'x', 'lines'),
  [
    (grid(**NORMS_BY_RATE), MULTIPLIER, (NORM,)),
    (
      grid(optimizer__learning_rate=[0.1, 1.0], batch_size=[8, 16, 32]),
      'optimizer.learning_rate',
      ('batch_size',),
    ),
    (
      grid(batch_size=[8, 16], optimizer__momentum=[0.1, 0.5, 0.9]),
      'optimizer.momentum',
      ('batch_size',),
    ),
    (settings_of_norms(), MULTIPLIER, (NORM,)),
    (zipped(), 'optimizer.learning_rate', ()),
    (grid(seed=[0, 1, 2]), None, ()),
  ],
  ids=['norms', 'rate first', 'most values', 'settings', 'zipped', 'seeds'],
)
def test_one_field_is_along_x_and_others_tell_lines_apart(table, x, lines):
  assert arranged(table) == arrangement.Layout(x, lines, connected=True)


def test_lines_are_named_by_what_tells_them_apart():
  drawn = sweep_figure.plot(settings_of_norms())
  assert labels(drawn) == ['none', 'batch']
  assert labels(sweep_figure.plot(grid(seed=[0, 1, 2]))) == ['all runs']


def test_categories_are_along_x_where_no_number_is_swept():
  drawn = sweep_figure.plot(
    grid(norm__name=['none', 'batch', 'rms'], seed=[0, 1])
  )
  ticks = [text.get_text() for text in drawn.axes[0].get_xticklabels()]
  assert ticks == ['none', 'batch', 'rms']
  colors = [line.get_color() for line in drawn.axes[0].lines[:6:2]]
  assert colors == [line_styles.color_of(norm) for norm in ticks]


def test_lines_with_the_same_names_along_x_stand_side_by_side():
  table = grid(norm__name=['none', 'batch'], model__activation=['relu', 'gelu'])
  lines = [line for line in sweep_figure.plot(table).axes[0].lines[:8:2]]
  places = sorted(x for line in lines for x in line.get_xdata())
  assert places == pytest.approx([-0.075, 0.075, 0.925, 1.075])


def test_random_draws_are_marks_without_lines():
  fields = ('optimizer.learning_rate', 'optimizer.weight_decay')
  drawn = np.random.default_rng(0).uniform(0.1, 1, (20, 2)).tolist()
  table = sweep(*((dict(zip(fields, d, strict=True)), row()) for d in drawn))
  assert not arranged(table).connected
  drawn = sweep_figure.plot(table)
  assert drawn.axes[0].lines[0].get_linestyle() == 'None'
  assert len(drawn.axes[0].lines[0].get_xdata()) == 20


def test_other_fields_of_a_norm_differ_in_line_and_mark_and_keep_its_colour():
  drawn = sweep_figure.plot(
    grid(
      norm__name=['batch', 'layer'],
      batch_size=[8, 64],
      optimizer__learning_rate_multiplier=[1.0, 5.0],
    )
  )
  named = [
    line for line in drawn.axes[0].lines if line.get_label() in labels(drawn)
  ]
  looks = [(line.get_color(), line.get_marker()) for line in named]
  assert len(set(looks)) == 4
  assert {color for color, _ in looks} == {
    line_styles.color_of('batch'),
    line_styles.color_of('layer'),
  }
  assert labels(drawn)[0] == 'batch, batch size (examples) 8'


def test_a_line_is_the_mean_over_seeds_and_the_band_their_range():
  table = grid(lambda o: row(0.8 if o['seed'] else 0.6), **NORMS_BY_RATE)
  axes = sweep_figure.plot(table).axes[0]
  np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.7] * 3)
  corners = axes.collections[0].get_paths()[0].vertices[:, 1]
  assert (corners.min(), corners.max()) == pytest.approx((0.6, 0.8))


def test_multipliers_are_on_a_log_scale_with_their_values_as_ticks():
  axes = sweep_figure.plot(grid(**NORMS_BY_RATE)).axes[0]
  assert axes.get_xscale() == 'log'
  assert [t.get_text() for t in axes.get_xticklabels()] == ['0.1', '1', '30']
  narrow = sweep_figure.plot(grid(batch_size=[8, 16])).axes[0]
  assert narrow.get_xscale() == 'linear'


def diverging(overrides):
  fails = overrides[MULTIPLIER] == 30 and (
    overrides[NORM] == 'none' or overrides['seed'] == 0
  )
  return row(0.3, math.inf, 'diverged') if fails else row()


def test_divergence_is_a_cross_that_no_other_hides():
  axes = sweep_figure.plot(grid(diverging, **NORMS_BY_RATE)).axes[0]
  axes.figure.draw_without_rendering()
  thick, thin = marks(axes, 'x')
  assert [c.get_color() for c in (thick, thin)] == [
    line_styles.color_of('none'),
    line_styles.color_of('batch'),
  ]
  assert thick.get_markeredgewidth() > thin.get_markeredgewidth()
  places = [
    cross.get_transform().transform((30, 0))[0] for cross in (thick, thin)
  ]
  assert abs(places[0] - places[1]) > 10


def test_a_place_where_some_seeds_diverged_is_hollow_and_without_them():
  axes = sweep_figure.plot(grid(diverging, **NORMS_BY_RATE)).axes[0]
  none, hollow_none, batch, hollow_batch = axes.lines[:4]
  assert math.isnan(none.get_ydata()[-1]) and not len(hollow_none.get_xdata())
  assert batch.get_ydata()[-1] == pytest.approx(0.9)
  assert hollow_batch.get_xdata().tolist() == [30]
  assert hollow_batch.get_markerfacecolor() == 'white'


def test_steps_are_of_the_runs_that_get_there_and_hollow_where_some_do_not():
  table = grid(
    lambda o: row(steps=math.inf if o['seed'] and o[MULTIPLIER] == 1 else 40),
    **NORMS_BY_RATE,
  )
  axes = sweep_figure.plot(table).axes[1]
  line, hollow = axes.lines[:2]
  assert line.get_ydata().tolist() == [40, 40, 40]
  assert hollow.get_xdata().tolist() == [1]


def test_steps_that_differ_by_ten_are_on_a_log_scale():
  table = grid(lambda o: row(steps=20 * o[MULTIPLIER]), **NORMS_BY_RATE)
  assert sweep_figure.plot(table).axes[1].get_yscale() == 'log'


def test_no_run_at_the_target_is_said():
  axes = sweep_figure.plot(
    grid(lambda o: row(steps=math.inf), **NORMS_BY_RATE)
  ).axes[1]
  assert 'no run reaches 90.00%' in [text.get_text() for text in axes.texts]


def unfinished():
  outcome = row(math.nan, math.nan, 'absent')
  table = grid(lambda _: outcome, **NORMS_BY_RATE)
  table.attrs['target'] = math.nan
  return table


@pytest.mark.parametrize(
  'table',
  [
    unfinished(),
    grid(seed=[0]),
    sweep(({}, row())),
    grid(norm__name=['none'], model__widths=[[4], [8, 8]]),
    grid(norm__name=['none', 'batch'], norm__use_scale=[True, False, None]),
    grid(optimizer__learning_rate=[0.0, -1.0]),
    grid(lambda _: row(1.0, 0.0), batch_size=list(range(40))),
    grid(norm__name=[f'norm {i}' for i in range(30)], seed=[0, 1]),
  ],
  ids=range(8),
)
def test_any_sweep_has_a_figure(table, tmp_path):
  plotting.save(sweep_figure.plot(table), tmp_path / 'sweep')
  assert (tmp_path / 'sweep.png').stat().st_size > 10_000


def test_the_caption_says_how_to_read_it_and_what_is_missing():
  text = sweep_figure.reading_help(grid(**NORMS_BY_RATE))
  assert 'divergence' in text and '90.00%' in text and 'no result' not in text
  assert 'not shown: 12 of 12' in sweep_figure.reading_help(unfinished())
