"""Tunings: the best rate of each arm, and their table."""

import pandas as pd

from normlab.analysis import tunings

TUNING = pd.DataFrame(
  {
    'rate': [0.1, 0.1, 0.2, 0.2],
    'seed': [0, 1, 0, 1],
    'accuracy': [0.5, 0.7, 0.8, 0.2],
  }
)


def test_the_best_rate_has_the_highest_mean_over_seeds():
  assert tunings.best_rates(TUNING) == {None: 0.1}


def test_a_tuning_as_text_marks_the_best_rate():
  text = tunings.present(TUNING)
  assert text.iloc[0].tolist() == ['0.1', '60.00%', '50.0%–70.0%', 2, 'taken']
  assert text.iloc[1].tolist()[-1] == ''


def test_arms_have_a_best_rate_each():
  other = TUNING.assign(arm='B', accuracy=TUNING['accuracy'][::-1].to_numpy())
  both = pd.concat([TUNING.assign(arm='A'), other])
  assert tunings.best_rates(both) == {'A': 0.1, 'B': 0.2}
  text = tunings.present(both)
  assert text['network'].tolist() == ['A', 'A', 'B', 'B']
  assert text[''].tolist() == ['taken', '', '', 'taken']


def test_another_outcome_is_named_and_has_no_unit():
  text = tunings.present(TUNING.rename(columns={'accuracy': 'gain'}), by='gain')
  assert text['gain at the end'].tolist() == ['0.6', '0.5']
