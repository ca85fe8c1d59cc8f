import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normlab.analysis import curves


def table(*runs):
  """Curves from {step: accuracy}, a seed each."""
  return pd.DataFrame(
    [
      {'network': 'A', 'seed': seed, 'step': step, 'accuracy': accuracy}
      for seed, run in enumerate(runs)
      for step, accuracy in run.items()
    ]
  )


def test_mean_curve_averages_over_seeds():
  curve = curves.mean_curve(table({10: 0.2, 20: 0.6}, {10: 0.4, 20: 0.8}))
  assert curve.to_dict() == pytest.approx({10: 0.3, 20: 0.7})


def test_mean_curve_ends_where_a_seed_died():
  runs = table({10: 0.2, 20: 0.3, 30: 0.9}, {10: 0.4})
  assert curves.mean_curve(runs).to_dict() == pytest.approx({10: 0.3})


def test_mean_curve_skips_a_step_without_a_value():
  runs = table({10: 0.2, 20: 0.3}, {10: 0.4, 20: math.nan})
  assert list(curves.mean_curve(runs).index) == [10]


def test_the_peak_of_the_mean_is_not_the_mean_of_the_peaks():
  runs = table({10: 1.0, 20: 0.5}, {10: 0.0, 20: 0.625})
  curve = curves.mean_curve(runs)
  assert (curve.max(), curve.idxmax()) == (0.5625, 20)


@pytest.mark.parametrize(
  'target, step',
  [(0.0, 10), (0.5, 10), (0.51, 20), (0.7, 20), (0.8, 40), (0.81, math.inf)],
)
def test_steps_to_match_is_the_first_step_at_the_target(target, step):
  run = table({10: 0.5, 20: 0.7, 30: 0.6, 40: 0.8})
  assert curves.steps_to_match(run, target) == step


def test_steps_to_match_does_not_need_sorted_rows():
  run = table({30: 0.9, 10: 0.1, 20: 0.9})
  assert curves.steps_to_match(run, 0.9) == 20


def test_missing_accuracy_matches_nothing():
  assert curves.steps_to_match(table({0: math.nan}), 0.0) == math.inf


@given(
  st.lists(st.floats(0, 1), min_size=1, max_size=20),
  st.floats(0, 1),
  st.floats(0, 1),
)
@settings(max_examples=20, deadline=None)
def test_higher_targets_are_not_matched_earlier(accuracies, first, second):
  run = table(dict(enumerate(accuracies)))
  low, high = sorted([first, second])
  reached = curves.steps_to_match(run, low), curves.steps_to_match(run, high)
  assert reached[0] <= reached[1]


def series(*values):
  return pd.Series(values, index=range(10, 10 * len(values) + 10, 10))


@pytest.mark.parametrize(
  'late, early, step',
  [
    # Behind, then ahead from step 30 on.
    ((0.1, 0.2, 0.9, 0.9), (0.5, 0.5, 0.5, 0.5), 30),
    # Ahead for one step already at 20, but the last crossing counts.
    ((0.1, 0.9, 0.1, 0.9), (0.5, 0.5, 0.5, 0.5), 40),
    # Equal is not ahead.
    ((0.1, 0.5, 0.9), (0.5, 0.5, 0.5), 30),
    # Never behind: there is no crossing.
    ((0.6, 0.7), (0.5, 0.5), None),
    # Behind in the end.
    ((0.6, 0.4), (0.5, 0.5), None),
    # Equal in the end.
    ((0.4, 0.6, 0.5), (0.5, 0.5, 0.5), None),
  ],
)
def test_last_crossing(late, early, step):
  assert curves.last_crossing(series(*late), series(*early)) == step


def test_crossing_is_looked_for_where_both_curves_are():
  late, early = series(0.1, 0.9, 0.2), series(0.5, 0.5)
  assert curves.last_crossing(late, early) == 20


def test_curves_without_a_common_step_do_not_cross():
  late, early = pd.Series({10: 0.5}), pd.Series({20: 0.5})
  assert curves.last_crossing(late, early) is None


@pytest.mark.parametrize(
  'accuracies, expected',
  [
    ([0.5, 0.895, 0.9, 0.8], (3, 5)),
    ([0.9, 0.9, 0.9, 0.9], (1, 7)),
    ([0.9, 0.1, 0.1, 0.1], (1, 1)),
    # Exactly the tolerance below is within it.
    ([0.89, 0.9, 0.89, 0.8], (1, 5)),
    # What lies beyond a gap is not between.
    ([0.9, 0.5, 0.895, 0.9], (1, 1)),
    ([0.895, math.nan, 0.9, 0.895], (5, 7)),
  ],
)
def test_usable_range_is_around_the_best(accuracies, expected):
  accuracy = pd.Series(accuracies, index=[1, 3, 5, 7])
  assert curves.usable_range(accuracy) == expected


def test_usable_range_takes_a_tolerance_and_any_order():
  accuracy = pd.Series({30: 0.5, 0.1: 0.8, 1: 0.9})
  assert curves.usable_range(accuracy) == (1, 1)
  assert curves.usable_range(accuracy, tolerance=0.1) == (0.1, 1)


def test_without_an_accuracy_there_is_no_usable_range():
  for accuracy in (pd.Series({1: math.nan}), pd.Series(dtype=float)):
    assert all(map(math.isnan, curves.usable_range(accuracy)))


@pytest.mark.parametrize(
  'outcomes, expected',
  [
    ([True, True, True], curves.HOLDS),
    ([True], curves.HOLDS),
    ([False, False], curves.FAILS),
    ([True, False], curves.INCONCLUSIVE),
    ([], curves.INCONCLUSIVE),
  ],
)
def test_verdict_needs_all_seeds_to_agree(outcomes, expected):
  assert curves.verdict(outcomes) == expected
  assert curves.verdict(pd.Series(outcomes, dtype=bool)) == expected


@pytest.mark.parametrize(
  'values, expected',
  [
    ([300, 400, 350], '350 (300–400)'),
    ([300], '300'),
    ([300.1, 300.2], '300'),
    ([300, math.inf, 400], '350 (300–400) in 2 of 3 seeds'),
    ([math.inf, 300], '300 in 1 of 2 seeds'),
    ([math.inf, math.nan], 'never'),
    ([], 'never'),
  ],
)
def test_spread_is_mean_and_range(values, expected):
  assert curves.spread(values) == expected


def test_spread_takes_a_form():
  assert curves.spread([0.5, 0.75], '{:.1%}') == '62.5% (50.0%–75.0%)'


def test_spread_counts_what_it_is_told():
  text = curves.spread([1.0, 2.0, 9.0], '{:.1f}', [True, True, False])
  assert text == '1.5 (1.0–2.0) in 2 of 3 seeds'
  assert curves.spread([1.0], '{:.1f}', [False]) == 'never'


def test_spread_takes_iterators():
  assert curves.spread(iter([1, 3]), counted=iter([True, True])) == '2 (1–3)'
