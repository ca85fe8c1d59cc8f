import math

import hypothesis
import pandas as pd
import pytest
from hypothesis import strategies

from normlab.analysis import curves


def run(*accuracies):
  """The evaluations of a seed, at steps 10, 20, ..."""
  steps = range(10, 10 * len(accuracies) + 10, 10)
  return pd.DataFrame({'step': steps, 'accuracy': accuracies})


@pytest.mark.parametrize(
  ('target', 'step'),
  [(0.0, 10), (0.5, 10), (0.51, 20), (0.7, 20), (0.8, 40), (0.81, math.inf)],
)
def test_steps_to_match_is_the_first_evaluation_at_the_target(target, step):
  assert curves.steps_to_match(run(0.5, 0.7, 0.6, 0.8), target) == step


def test_a_missing_accuracy_matches_nothing():
  assert curves.steps_to_match(run(math.nan), 0.0) == math.inf


def test_a_mean_of_equal_accuracies_is_matched_by_them():
  assert curves.steps_to_match(run(0.7), (0.7 + 0.7 + 0.7) / 3) == 10


@hypothesis.given(
  strategies.lists(strategies.floats(0, 1), min_size=1, max_size=20),
  strategies.floats(0, 1),
  strategies.floats(0, 1),
)
@hypothesis.settings(max_examples=20, deadline=None)
def test_higher_targets_are_not_matched_earlier(accuracies, first, second):
  low, high = (
    curves.steps_to_match(run(*accuracies), target)
    for target in sorted([first, second])
  )
  assert low <= high


@pytest.mark.parametrize(
  ('accuracies', 'expected'),
  [
    ([0.5, 0.895, 0.9, 0.8], (3, 5)),
    ([0.9, 0.9, 0.9, 0.9], (1, 7)),
    ([0.9, 0.1, 0.1, 0.1], (1, 1)),
    # The floor itself is high enough.
    ([0.89, 0.9, 0.89, 0.8], (1, 5)),
    # What lies beyond a gap is not around the best.
    ([0.9, 0.5, 0.895, 0.89], (1, 1)),
    ([0.895, math.nan, 0.9, 0.895], (5, 7)),
  ],
)
def test_usable_range_is_around_the_best(accuracies, expected):
  accuracy = pd.Series(accuracies, index=[1, 3, 5, 7])
  assert curves.usable_range(accuracy, floor=0.89) == expected
  assert curves.usable_range(accuracy[::-1], floor=0.89) == expected


@pytest.mark.parametrize('values', [{1: math.nan}, {}, {1: 0.5, 2: 0.6}])
def test_without_an_accuracy_at_the_floor_there_is_no_usable_range(values):
  found = curves.usable_range(pd.Series(values, dtype=float), floor=0.7)
  assert all(map(math.isnan, found))
