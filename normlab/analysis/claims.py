"""Claims as data, and the one function that judges them."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import pandas as pd

from normlab.analysis import verdicts
from normlab.analysis.verdicts import Interval, Verdict

RATIO, DIFFERENCE, SHARE = 'ratio', 'difference', 'share'
NOTHING = '\N{EN DASH}'


class Comparison(NamedTuple):
  """A number of the runs, and where a claim says that it lies.

  Attributes:
    measure: `RATIO` of the outcome in two arms, for positive numbers; their
      `DIFFERENCE`; or the `SHARE` of the seeds of one arm for which the outcome
      is true.
    outcome: a column of the outcomes. 'steps...' is a time; with 'accuracy' in
      its name, it is printed in points; of a share, it is a verb ('trains').
    arm: the first arm.
    relation: '<' or '>'.
    margin: the number is on this side of, declared before the runs.
    against: the second arm; None for a share.
    published: the same number in the paper; None where it has none.
  """

  measure: str
  outcome: str
  arm: str
  relation: str
  margin: float
  against: str | None = None
  published: float | None = None


class Claim(NamedTuple):
  """What a paper says, in a form that can hold or fail.

  Attributes:
    number: of the list of claims.
    text: the claim, as the end of the sentence "The paper claims that ...".
    source: the paper, and the place in it.
    comparisons: all must hold.
  """

  number: int
  text: str
  source: str
  comparisons: tuple[Comparison, ...]


def judge(
  claims: Iterable[Claim], outcomes: pd.DataFrame, *, grid: float = 0
) -> pd.DataFrame:
  """The verdicts on claims.

  Args:
    claims: in any order.
    outcomes: one row a run, by 'arm' and 'seed'.
    grid: steps between two evaluations, up to which a time is known.

  Returns:
    One row a comparison: 'claim', its number; 'text'; 'source'; the fields of
    the comparison; 'estimate', 'low', 'high'; 'seeds' and 'seeds_against',
    their numbers; 'part', the verdict on the comparison; 'grid_decides',
    whether only the grid puts the margin inside the interval; 'verdict', that
    on the claim, the same in all its rows.
  """
  rows = []
  for claim in claims:
    parts = [measured(part, outcomes, grid) for part in claim.comparisons]
    verdict = verdicts.combined([part['part'] for part in parts])
    about = {'claim': claim.number, 'text': claim.text, 'source': claim.source}
    rows += [{**about, **part, 'verdict': verdict} for part in parts]
  return pd.DataFrame(rows)


def measured(
  comparison: Comparison, outcomes: pd.DataFrame, grid: float
) -> dict[str, object]:
  """A comparison with its interval and its verdict, as a row of `judge`."""
  arm, against = (
    [] if name is None else outcomes.loc[name][comparison.outcome].tolist()
    for name in (comparison.arm, comparison.against)
  )
  measure = MEASURES[comparison.measure]
  grid = grid if is_time(comparison.outcome) else 0
  interval, exact = measure(arm, against, grid), measure(arm, against, 0)
  published, margin = comparison.published, comparison.margin
  return {
    **comparison._asdict(),
    # Of any type but this, a column of nothing else could not be drawn.
    'published': math.nan if published is None else published,
    **interval._asdict(),
    'seeds': len(arm),
    'seeds_against': len(against),
    'part': interval.verdict(comparison.relation, margin),
    'grid_decides': interval.low < margin < interval.high
    and not exact.low < margin < exact.high,
  }


def is_time(outcome: str) -> bool:
  """Whether an outcome is a number of steps, known up to the evaluations."""
  return outcome.startswith('steps')


MEASURES: dict[str, Callable[[list, list, float], Interval]] = {
  RATIO: lambda arm, against, grid: verdicts.ratios(arm, against, grid=grid),
  DIFFERENCE: lambda arm, against, grid: verdicts.differences(arm, against),
  SHARE: lambda arm, against, grid: verdicts.share(sum(arm), len(arm)),
}


def strip(
  claims: Sequence[Claim],
  outcomes_at: Callable[[float], pd.DataFrame],
  targets: Iterable[float],
  *,
  grid: float = 0,
) -> pd.DataFrame:
  """The verdicts on claims about times, as a function of the target.

  Args:
    claims: those that compare no 'steps_to_match' are left out.
    outcomes_at: from a target accuracy, the outcomes.
    targets: accuracies in [0, 1].
    grid: as of `judge`.

  Returns:
    One row a target (the index), one column a claim, by its number.
  """
  timed = [
    claim
    for claim in claims
    if any(part.outcome == 'steps_to_match' for part in claim.comparisons)
  ]
  rows = {
    target: judge(timed, outcomes_at(target), grid=grid)
    .groupby('claim')['verdict']
    .first()
    for target in targets
  }
  return pd.DataFrame(rows).T.rename_axis('target')


def present(judged: pd.DataFrame) -> pd.DataFrame:
  """The verdicts as text, one row a comparison."""
  return pd.DataFrame(
    {
      'claim': row.claim,
      'compared': compared(row),
      'here': f'{number(row, row.estimate)} ({ends(row)})',
      'seeds': seeds_text(row),
      'claimed': f'{row.relation} {number(row, row.margin)}',
      'paper': NOTHING
      if math.isnan(row.published)
      else number(row, row.published),
      'this part': row.part,
      'claim as a whole': row.verdict,
    }
    for row in judged.itertuples()
  )


def conclusions(judged: pd.DataFrame) -> list[str]:
  """A sentence or two on each claim, for somebody new to the subject."""
  return [
    f'**Claim {claim}: {rows["verdict"].iloc[0]}.** '
    f'{rows["text"].iloc[0][0].upper()}{rows["text"].iloc[0][1:]}. '
    + ' '.join(conclusion(row) for row in rows.itertuples())
    for claim, rows in judged.groupby('claim', sort=False)
  ]


def conclusion(row: NamedTuple) -> str:
  """What was compared, by how much, and what would settle it."""
  interval = f'({ends(row)}; {seeds_text(row)})'
  value = number(row, row.estimate)
  what = row.outcome.replace('_', ' ')
  asked = f'{WORDS[row.relation]} {number(row, row.margin)}'
  text = {
    RATIO: f'{ratio_text(row)} {interval}; the claim needs {asked}.',
    DIFFERENCE: f'{row.arm} minus {row.against} is {value} of {what} '
    f'{interval}; the claim needs {asked}.',
    SHARE: f'{row.arm} {what} in {seeds_text(row)} (a share of {ends(row)}); '
    f'the claim needs {asked}.',
  }[row.measure]
  if row.part == Verdict.HOLDS:
    return text
  if row.part == Verdict.FAILS:
    return (
      f'{text} All of the interval contradicts it: more seeds will not help.'
    )
  return f'{text} {settling(row)}'


WORDS = {'<': 'less than', '>': 'more than'}


def ratio_text(row: NamedTuple) -> str:
  """How two arms compare, also where a time mostly is never."""
  what = row.outcome.replace('_', ' ')
  times = number(row, row.estimate)
  if not is_time(row.outcome):
    return f'the {what} of {row.arm} is {times} times that of {row.against}'
  if row.estimate == 0:
    return f'{row.arm} gets where {row.against} mostly does not arrive'
  if math.isinf(row.estimate):
    return f'{row.arm} mostly does not arrive where {row.against} does'
  return f'{row.arm} takes {times} times the {what} of {row.against}'


def settling(row: NamedTuple) -> str:
  """How many seeds would tell, if the estimate is the truth.

  Intervals shrink with the root of the number of seeds.
  """
  if row.grid_decides:
    return (
      'The interval reaches the other side only because times are known up to '
      'the distance between two evaluations: more of these would settle it.'
    )
  scale = _log if row.measure == RATIO else float
  to_margin = scale(row.margin) - scale(row.estimate)
  end = row.high if to_margin > 0 else row.low
  reach = scale(end) - scale(row.estimate)
  if not (math.isfinite(reach) and math.isfinite(to_margin) and to_margin):
    return 'More seeds would tell, or longer runs in which all arms arrive.'
  needed = math.ceil(max(row.seeds, 3) * (reach / to_margin) ** 2)
  if needed > 100:
    return 'The numbers are too close for any affordable number of seeds.'
  return f'About {max(needed, row.seeds + 1)} seeds an arm would settle it.'


def compared(row: NamedTuple) -> str:
  """What a number is of: 'steps to match, BN-x5 / BN-Baseline'."""
  what = row.outcome.replace('_', ' ')
  if row.measure == SHARE:
    return f'{what}: share of the seeds of {row.arm}'
  sign = '/' if row.measure == RATIO else '\N{MINUS SIGN}'
  return f'{what}, {row.arm} {sign} {row.against}'


def number(row: NamedTuple, value: float) -> str:
  """A value in the unit of a comparison."""
  if math.isnan(value):
    return 'undecided'
  if math.isinf(value):
    return '\N{INFINITY}' if value > 0 else '\N{MINUS SIGN}\N{INFINITY}'
  if row.measure == RATIO:
    return f'{value:.2f}' if value else '0'
  if row.measure == SHARE:
    return f'{100 * value:.0f}%'
  if 'accuracy' in row.outcome:
    # No minus in front of a zero.
    return f'{round(100 * value, 1) + 0.0:+.1f} points'
  return f'{value:+.3g}'


def ends(row: NamedTuple) -> str:
  """The interval as text; its unit once."""
  low = number(row, row.low).removesuffix(' points')
  return f'{low} to {number(row, row.high)}'


def seeds_text(row: NamedTuple) -> str:
  """How many seeds: of a share, of how many it is true."""
  if row.measure == SHARE:
    return f'{round(row.estimate * row.seeds)} of {row.seeds} seeds'
  return f'{row.seeds} and {row.seeds_against} seeds'


def _log(value: float) -> float:
  return math.log(value) if value > 0 else -math.inf
