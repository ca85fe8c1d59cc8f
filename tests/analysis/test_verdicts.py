"""Intervals over seeds: closed forms, coverage by counting, and limit cases."""

import itertools
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from scipy import stats

from normlab.analysis import verdicts
from normlab.analysis.verdicts import Interval, Verdict

HOLDS, FAILS, INCONCLUSIVE = Verdict
INF = math.inf
FEW = hypothesis.settings(max_examples=50, deadline=None, derandomize=True)
TIMES = strategies.lists(strategies.floats(1, 1e4), min_size=3, max_size=6)


@pytest.mark.parametrize(('n', 'm'), [(1, 1), (2, 5), (3, 3), (4, 3), (5, 5)])
def test_rank_orders_are_those_counted_one_by_one(n, m):
  counted = [0] * (n * m + 1)
  for places in itertools.combinations(range(n + m), n):
    others = [i for i in range(n + m) if i not in places]
    counted[sum(i > j for i in places for j in others)] += 1
  assert verdicts.rank_orders(n, m) == counted


def test_the_dropped_pairs_are_those_of_the_published_tables():
  equal = [verdicts.dropped(n, n) for n in range(3, 11)]
  assert equal == [0, 1, 4, 7, 11, 15, 21, 27]
  assert verdicts.dropped(5, 3) == verdicts.dropped(3, 5) == 1


@pytest.mark.parametrize(('n', 'm'), [(3, 3), (4, 4), (5, 3), (5, 5)])
def test_an_interval_misses_the_truth_in_at_most_5_percent_of_rank_orders(n, m):
  # Both arms have the same distribution: the true difference is 0. All orders
  # of the pooled values are then equally probable.
  values = np.random.default_rng(0).normal(size=n + m)
  missed_low = missed_high = total = 0
  for places in itertools.combinations(range(n + m), n):
    first = values[list(places)]
    second = np.delete(values, places)
    interval = verdicts.differences(first, second)
    missed_low += interval.high < 0
    missed_high += interval.low > 0
    total += 1
  assert 0 < missed_low <= 0.05 * total
  assert 0 < missed_high <= 0.05 * total


def test_three_seeds_span_all_pairs_and_four_drop_one():
  interval = verdicts.differences([1, 2, 4], [0, 0.5, 3])
  assert interval == Interval(pytest.approx(1), -2, 4)
  interval = verdicts.differences([1, 2, 4, 9], [0, 0, 0, 5])
  # Pairs: 1 2 4 9 three times, and -4 -3 -1 4.
  assert (interval.low, interval.high) == (-3, 9)
  assert interval.estimate == 2


def test_too_few_seeds_conclude_nothing():
  assert verdicts.dropped(2, 2) is None
  assert verdicts.differences([5, 6], [1, 2]) == Interval(4, -INF, INF)
  assert verdicts.ratios([5], [10]) == Interval(0.5, 0, INF)
  assert math.isnan(verdicts.differences([], []).estimate)
  assert verdicts.share(0, 0).verdict('>', 0.5) is INCONCLUSIVE


def test_the_estimate_is_that_of_hodges_and_lehmann():
  first, second = [3.0, 5.0, 8.0, 9.0], [1.0, 2.0, 7.0]
  pairs = [a - b for a in first for b in second]
  assert verdicts.differences(first, second).estimate == np.median(pairs)


def test_never_is_infinitely_long_and_against_never_nothing_is_known():
  never, finite = [INF] * 3, [10.0, 20.0, 40.0]
  assert verdicts.ratios(never, finite) == Interval(INF, INF, INF)
  assert verdicts.ratios(finite, never) == Interval(0, 0, 0)
  both = verdicts.ratios(never, never)
  assert (both.low, both.high) == (0, INF)
  assert math.isnan(both.estimate)
  assert both.verdict('<', 1) is INCONCLUSIVE


def test_one_seed_that_never_arrives_widens_one_end():
  interval = verdicts.ratios([10, 10, INF], [20, 20, 20])
  assert interval == Interval(0.5, 0.5, INF)


def test_the_grid_of_evaluations_widens_a_ratio_at_both_ends():
  interval = verdicts.ratios([100, 100, 100], [200, 200, 200], grid=50)
  assert interval == Interval(0.5, 50 / 200, 100 / 150)
  # A time of one grid step may be as short as nothing.
  interval = verdicts.ratios([50, 50, 50], [50, 50, 50], grid=50)
  assert interval == Interval(1, 0, INF)


def test_ties_make_an_interval_a_point():
  assert verdicts.ratios([4, 4, 4], [2, 2, 2]) == Interval(2, 2, 2)


@FEW
@hypothesis.given(TIMES, TIMES, strategies.floats(0.1, 10))
def test_scaling_one_arm_scales_the_interval(first, second, factor):
  before = verdicts.ratios(first, second)
  after = verdicts.ratios([factor * value for value in first], second)
  np.testing.assert_allclose(after, np.multiply(before, factor), rtol=1e-12)


@FEW
@hypothesis.given(TIMES, TIMES, strategies.floats(0, 0.9))
def test_arms_exchanged_are_the_inverse_interval(first, second, grid):
  there = verdicts.ratios(first, second, grid=grid)
  back = verdicts.ratios(second, first, grid=grid)
  for end, other in ((there.low, back.high), (there.high, back.low)):
    assert end == 0 or end * other == pytest.approx(1)


@FEW
@hypothesis.given(TIMES, TIMES, strategies.floats(-100, 100))
def test_shifting_one_arm_shifts_a_difference(first, second, shift):
  before = verdicts.differences(first, second)
  after = verdicts.differences([value + shift for value in first], second)
  np.testing.assert_allclose(after, np.add(before, shift), atol=1e-9)


@FEW
@hypothesis.given(TIMES, TIMES)
def test_an_interval_holds_its_estimate(first, second):
  for interval in (
    verdicts.ratios(first, second),
    verdicts.differences(first, second),
  ):
    assert interval.low <= interval.estimate <= interval.high


def test_shares_are_those_of_clopper_and_pearson():
  # All of n: the lower end solves p^n = 5%.
  assert verdicts.share(5, 5).low == pytest.approx(0.05**0.2)
  assert verdicts.share(5, 5).high == 1
  assert verdicts.share(0, 3).high == pytest.approx(1 - 0.05 ** (1 / 3))
  found = verdicts.share(2, 7)
  assert stats.binom.sf(1, 7, found.low) == pytest.approx(0.05)
  assert stats.binom.cdf(2, 7, found.high) == pytest.approx(0.05)


@pytest.mark.parametrize(
  ('low', 'high', 'relation', 'margin', 'verdict'),
  [
    (0.2, 0.4, '<', 0.5, HOLDS),
    (0.2, 0.5, '<', 0.5, INCONCLUSIVE),
    (0.2, 0.6, '<', 0.5, INCONCLUSIVE),
    (0.5, 0.6, '<', 0.5, FAILS),
    (0.6, 0.7, '>', 0.5, HOLDS),
    (0.5, 0.7, '>', 0.5, INCONCLUSIVE),
    (0.4, 0.5, '>', 0.5, FAILS),
    (INF, INF, '<', 1, FAILS),
    (0, INF, '>', 1, INCONCLUSIVE),
  ],
)
def test_a_verdict_needs_the_whole_interval(
  low, high, relation, margin, verdict
):
  assert Interval(0.5, low, high).verdict(relation, margin) is verdict


def test_a_claim_of_parts_holds_if_all_do_and_fails_with_one():
  assert verdicts.combined([HOLDS, HOLDS]) is HOLDS
  assert verdicts.combined([HOLDS, INCONCLUSIVE]) is INCONCLUSIVE
  assert verdicts.combined([INCONCLUSIVE, FAILS]) is FAILS
  assert verdicts.combined([]) is INCONCLUSIVE


def test_a_number_that_is_not_known_may_be_any():
  found = verdicts.differences([1.0, 2.0, math.nan], [0.0, 0.0, 0.0])
  assert math.isnan(found.estimate) and found.high == math.inf
  assert found.verdict('>', 0) == Verdict.INCONCLUSIVE
