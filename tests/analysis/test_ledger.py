"""The ledger and the figures of verdicts."""

import math

import pandas as pd
import pytest
from matplotlib import colors

from normlab.analysis import claim_plots, ledger, plotting
from normlab.analysis.verdicts import Verdict

HOLDS, FAILS, INCONCLUSIVE = map(str, Verdict)
INF = math.inf


def row(claim, verdict, measure='ratio', interval=(0.5, 0.4, 0.6), **changes):
  return {
    'claim': claim,
    'text': f'text {claim}',
    'source': 'a paper',
    'measure': measure,
    'outcome': 'steps_to_match' if measure == 'ratio' else 'accuracy',
    'arm': 'A',
    'relation': '<',
    'margin': 0.5,
    'against': 'B',
    'published': math.nan,
    **dict(zip(('estimate', 'low', 'high'), interval, strict=True)),
    'seeds': 3,
    'seeds_against': 3,
    'part': verdict,
    'verdict': verdict,
    'command': 'python run',
    **changes,
  }


TABLES = {
  ('speed', 'small'): [
    row(2, INCONCLUSIVE, interval=(INF, 0, INF), published=0.25),
    row(1, HOLDS, interval=(0, 0, 0)),
  ],
  ('speed', 'large'): [
    row(1, FAILS, interval=(math.nan, 0, INF)),
    row(1, FAILS, 'difference', interval=(0.1, -INF, INF)),
  ],
  ('rates', 'small'): [row(1, HOLDS, 'share', published=1.0, against=None)],
}


@pytest.fixture
def table():
  return ledger.ledger(
    {key: pd.DataFrame(rows) for key, rows in TABLES.items()}
  )


def test_every_comparison_of_every_result_is_a_row_by_claim(table):
  assert len(table) == sum(map(len, TABLES.values()))
  assert table['claim'].is_monotonic_increasing
  own = table[(table['experiment'] == 'speed') & (table['claim'] == 1)]
  assert own['scale'].tolist() == ['large', 'large', 'small']
  assert own['measure'].tolist() == ['ratio', 'difference', 'ratio']


def test_the_document_has_verdicts_by_scale_links_and_commands(table):
  text = ledger.markdown(table)
  assert '[speed, large](speed/large.md) ([figure](speed/large.png))' in text
  assert text.count('`python run`') == len(table)
  assert '1: text 1' in text and 'a paper' in text and '](claims.png)' in text
  summary = ledger.summary(table)
  assert summary['experiment'].tolist() == ['rates', 'speed', 'speed']
  row = summary[(summary['experiment'] == 'speed')].iloc[0]
  assert row['verdict'] == FAILS
  assert row['other scales'] == f'{HOLDS} (small)'


def test_the_scale_of_the_embedded_data_comes_first(table):
  renamed = table.replace({'scale': {'small': ledger.MAIN_SCALE}})
  own = ledger.summary(renamed).query('experiment == "speed"').iloc[0]
  assert own['verdict'] == HOLDS
  main = ledger.main_rows(renamed).query('experiment == "speed"')
  assert {*main['scale']} == {ledger.MAIN_SCALE}


@pytest.mark.filterwarnings('error')
def test_the_forest_draws_every_interval_also_infinite_ones(table, tmp_path):
  figure = claim_plots.forest(table)
  panels = figure.axes
  claims = table[['claim', 'experiment']].drop_duplicates()
  assert [text.get_text() for text in panels[0].get_yticklabels()] == [
    f'{row.claim}  {row.experiment}' for row in claims.itertuples()
  ]
  assert len(panels) == 3
  for axes, measure in zip(
    panels, ('ratio', 'difference', 'share'), strict=True
  ):
    places = {
      line.get_ydata()[0]
      for line in axes.lines
      if len(line.get_ydata()) == 2 and line.get_marker() == 'None'
    }
    # No interval hides another.
    assert len(places) == (table['measure'] == measure).sum()
    marks = [line.get_marker() for line in axes.lines if len(line.get_ydata())]
    own = table[table['measure'] == measure]
    assert marks.count('|') == len(own)
    assert marks.count('D') == own['published'].notna().sum()
    # Both ends of an interval that is all 0, on a log scale, lie to the left.
    ends = own[['low', 'high']].to_numpy()
    assert marks.count('>') == (ends == INF).sum()
    beyond = ends <= 0 if measure == 'ratio' else ends == -INF
    assert marks.count('<') == beyond.sum()
  assert figure.get_suptitle() == (
    'Of 4 verdicts, 2 hold, 1 do not and 1 are inconclusive'
  )
  plotting.save(figure, tmp_path / 'forest')


@pytest.mark.parametrize('measure', ['ratio', 'share'])
def test_a_forest_of_one_claim_without_a_published_value_is_drawn(measure):
  own = pd.DataFrame([row(1, HOLDS, measure)])
  figure = claim_plots.forest(ledger.ledger({('speed', 'small'): own}))
  figure.draw_without_rendering()


def test_a_difference_of_other_numbers_has_a_panel_and_unit_of_its_own():
  rows = [row(1, HOLDS, 'difference', interval=(0.1, 0.05, 0.2))]
  rows.append({**rows[0], 'outcome': 'cosine'})
  figure = claim_plots.forest(ledger.ledger({('a', 'b'): pd.DataFrame(rows)}))
  points, own = figure.axes
  assert 'points' in points.get_title() and 'own units' in own.get_title()
  assert [axes.xaxis.get_major_formatter()(0.2) for axes in (points, own)] == [
    '20',
    '0.2',
  ]


def test_the_strip_has_the_colour_of_the_verdict_at_each_target():
  figure, (axes,) = plotting.panels(1)
  verdicts = pd.DataFrame(
    {1: [HOLDS, FAILS, FAILS], 3: [INCONCLUSIVE] * 3}, index=[0.5, 0.6, 0.8]
  )
  claim_plots.strip(axes, verdicts)
  claim_plots.legend_of_verdicts(axes)
  first, second = axes.containers
  cells = [
    (cell.get_y(), cell.get_y() + cell.get_height(), cell.get_facecolor())
    for cell in first
  ]
  assert [cell[:2] for cell in cells] == [
    pytest.approx(ends) for ends in ((0.5, 0.55), (0.55, 0.7), (0.7, 0.8))
  ]
  expected = [claim_plots.VERDICTS[verdict][0] for verdict in verdicts[1]]
  assert [colors.to_hex(cell[2]) for cell in cells] == expected
  assert len(second) == 3
  labels = {text.get_text() for text in axes.get_legend().get_texts()}
  assert labels == {HOLDS, FAILS, INCONCLUSIVE}
