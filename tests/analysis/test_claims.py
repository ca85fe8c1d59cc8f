"""Claims on fabricated outcomes: intervals, margins, and what is said."""

import math

import pandas as pd
import pytest

from normlab.analysis import claims
from normlab.analysis.claims import (
  DIFFERENCE,
  RATIO,
  SHARE,
  Claim,
  Comparison,
)
from normlab.analysis.verdicts import Verdict

HOLDS, FAILS, INCONCLUSIVE = Verdict
INF = math.inf


def table(**arms):
  """Outcomes of arms: {outcome: one value a seed} each."""
  parts = {
    name: pd.DataFrame(values).rename_axis('seed')
    for name, values in arms.items()
  }
  return pd.concat(parts, names=['arm'])


OUTCOMES = table(
  fast={'steps_to_match': [10, 12, 14], 'accuracy': [0.9] * 3},
  slow={'steps_to_match': [40, 40, 40], 'accuracy': [0.8] * 3},
  mixed={'steps_to_match': [10, 40, INF], 'accuracy': [0.7, 0.8, 0.9]},
  never={'steps_to_match': [INF] * 3, 'accuracy': [0.1] * 3},
).assign(trains=lambda t: t['accuracy'] > 0.2)


def ratio(arm, relation='<', margin=0.5, against='slow', published=None):
  return Comparison(
    RATIO, 'steps_to_match', arm, relation, margin, against, published
  )


def difference(arm, relation='>', margin=0.0, against='slow', published=None):
  return Comparison(
    DIFFERENCE, 'accuracy', arm, relation, margin, against, published
  )


def judged(*comparisons, grid=0):
  claim = Claim(7, 'norms help', 'a paper', comparisons)
  return claims.judge([claim], OUTCOMES, grid=grid)


def test_a_ratio_is_that_of_all_pairs():
  row = judged(ratio('fast')).iloc[0]
  assert row[['estimate', 'low', 'high']].tolist() == [0.3, 0.25, 0.35]
  assert row[['seeds', 'seeds_against']].tolist() == [3, 3]
  assert row['verdict'] == HOLDS
  assert row[['claim', 'text', 'source']].tolist() == [
    7,
    'norms help',
    'a paper',
  ]


def test_times_are_known_up_to_the_grid_and_numbers_are_not():
  assert judged(ratio('fast'), grid=10).loc[0, 'high'] == 14 / 30
  assert judged(ratio('fast'), grid=20)['verdict'].tolist() == [INCONCLUSIVE]
  assert judged(difference('fast'), grid=20)['verdict'].tolist() == [HOLDS]


def test_a_ratio_of_other_numbers_knows_no_grid_and_reads_as_a_number():
  outcomes = table(
    A={'smoothness': [4.0, 4.0, 4.0]}, B={'smoothness': [2.0, 2.0, 2.0]}
  )
  part = Comparison(RATIO, 'smoothness', 'A', '>', 1, 'B')
  claim = Claim(13, 'smoother', 'a paper', (part,))
  found = claims.judge([claim], outcomes, grid=100)
  assert found.loc[0, ['estimate', 'low', 'high']].tolist() == [2, 2, 2]
  (text,) = claims.conclusions(found)
  assert 'the smoothness of A is 2.00 times that of B (2.00 to 2.00' in text


@pytest.mark.parametrize(
  ('comparison', 'verdict'),
  [
    # The interval is 0.25 to 0.35: its ends are on no side of themselves.
    (ratio('fast', '<', 0.35), INCONCLUSIVE),
    (ratio('fast', '<', 0.3501), HOLDS),
    (ratio('fast', '<', 0.25), FAILS),
    (ratio('fast', '>', 0.25), INCONCLUSIVE),
    (ratio('fast', '>', 0.35), FAILS),
    (ratio('never'), FAILS),
    (ratio('mixed'), INCONCLUSIVE),
    (ratio('never', against='never'), INCONCLUSIVE),
    (difference('fast', '>', 0.05), HOLDS),
    (difference('fast', '>', 0.2), FAILS),
    (difference('mixed', '<', 0.0), INCONCLUSIVE),
    # 3 of 3 seeds: a share of 37% to 100%.
    (Comparison(SHARE, 'trains', 'fast', '>', 0.3), HOLDS),
    (Comparison(SHARE, 'trains', 'fast', '>', 0.5), INCONCLUSIVE),
    (Comparison(SHARE, 'trains', 'never', '>', 0.7), FAILS),
  ],
)
def test_the_interval_decides_and_not_the_estimate(comparison, verdict):
  assert judged(comparison)['verdict'].tolist() == [verdict]


@pytest.mark.parametrize(
  ('parts', 'verdict'),
  [
    ([ratio('fast'), difference('fast')], HOLDS),
    ([ratio('fast'), ratio('mixed')], INCONCLUSIVE),
    ([ratio('mixed'), ratio('never')], FAILS),
  ],
)
def test_a_claim_of_two_parts_has_one_verdict(parts, verdict):
  found = judged(*parts)
  assert found['verdict'].tolist() == [verdict] * 2
  alone = [judged(part).loc[0, 'verdict'] for part in parts]
  assert found['part'].tolist() == alone


def test_the_strip_judges_claims_about_times_at_each_target():
  timed = Claim(1, 'sooner', 'a paper', (ratio('fast'),))
  other = Claim(2, 'higher', 'a paper', (difference('fast'),))

  def at(target):
    steps = OUTCOMES['steps_to_match']
    return OUTCOMES.assign(
      steps_to_match=steps.where(OUTCOMES['accuracy'] >= target, INF)
    )

  found = claims.strip([timed, other], at, [0.5, 0.85, 0.95])
  assert list(found.columns) == [1] and found.index.name == 'target'
  # From 0.85 on only one arm arrives, from 0.95 on neither does.
  assert found[1].tolist() == [HOLDS, HOLDS, INCONCLUSIVE]


def test_what_is_printed_has_interval_seeds_margin_and_the_paper():
  found = claims.present(
    judged(
      ratio('fast', published=0.4),
      difference('fast', margin=-0.05),
      Comparison(SHARE, 'trains', 'fast', '>', 0.3),
    )
  )
  assert found.iloc[0].tolist() == [
    7,
    'steps to match, fast / slow',
    '0.30 (0.25 to 0.35)',
    '3 and 3 seeds',
    '< 0.50',
    '0.40',
    'holds',
    'holds',
  ]
  assert found.iloc[1]['here'] == '+10.0 points (+10.0 to +10.0 points)'
  assert found.iloc[1]['claimed'] == '> -5.0 points'
  assert found.iloc[1]['compared'].startswith('accuracy, fast \N{MINUS SIGN}')
  assert found.iloc[2]['here'] == '100% (37% to 100%)'
  assert found.iloc[2]['seeds'] == '3 of 3 seeds'
  assert found['paper'].tolist()[1:] == ['–', '–']


@pytest.mark.parametrize(
  ('comparison', 'words'),
  [
    (
      ratio('fast'),
      '**Claim 7: holds.** Norms help. fast takes 0.30 times the steps to '
      'match of slow (0.25 to 0.35; 3 and 3 seeds); the claim needs less than '
      '0.50.',
    ),
    (ratio('never'), '∞ to ∞; 3 and 3 seeds'),
    (ratio('never'), 'more seeds will not help.'),
    (ratio('never', against='never'), 'takes undecided times'),
    (ratio('never', against='never'), 'More seeds would tell, or longer runs'),
    # The interval has to shrink to half its length: four times the seeds.
    (ratio('mixed'), 'About 12 seeds an arm would settle it.'),
    (difference('mixed', '>', -0.05), 'mixed minus slow is +0.0 points'),
    (difference('mixed', '>', -0.06), 'About 9 seeds an arm would settle it.'),
    (difference('mixed', '>', -1e-4), 'too close for any affordable number'),
    (
      Comparison(SHARE, 'trains', 'fast', '>', 0.5),
      'fast trains in 3 of 3 seeds (a share of 37% to 100%)',
    ),
  ],
)
def test_a_conclusion_says_what_was_compared_and_what_would_settle_it(
  comparison, words
):
  (line,) = claims.conclusions(judged(comparison))
  assert words in line and line.endswith('.') and '\n' not in line


def test_conclusions_are_one_a_claim():
  (line,) = claims.conclusions(judged(ratio('fast'), difference('fast')))
  assert 'times the steps' in line and 'points of accuracy' in line


def test_a_conclusion_says_when_more_evaluations_would_settle_it():
  outcomes = pd.DataFrame(
    {'steps_to_match': [400.0] * 3 + [800.0] * 3},
    index=pd.MultiIndex.from_product(
      [['fast', 'slow'], range(3)], names=['arm', 'seed']
    ),
  )
  comparison = claims.Comparison(
    claims.RATIO, 'steps_to_match', 'fast', '<', 0.52, 'slow'
  )
  claim = claims.Claim(1, 'fast is fast', 'nowhere', (comparison,))
  coarse = claims.judge([claim], outcomes, grid=100)
  assert coarse['verdict'].tolist() == ['inconclusive']
  assert 'more of these would settle it' in claims.conclusions(coarse)[0]
  fine = claims.judge([claim], outcomes, grid=1)
  assert fine['verdict'].tolist() == ['holds']
