"""The verdicts on claims 1 to 5: pure functions of a table."""

import pandas as pd

from experiments.speedup.analysis import baseline_steps, outcomes, target_of
from normlab.analysis import curves

# Accuracy of guessing: ten classes, all as frequent.
CHANCE = 0.1


def judge(table: pd.DataFrame) -> pd.DataFrame:
  """The verdict on claims 1 to 5, from the records alone.

  A claim holds if every seed says so, and does not hold here if none does.

  Args:
    table: one row an evaluation, from `tables.evaluations`.

  Returns:
    One row a claim: 'claim', its number; 'text'; 'measured' here; 'paper', what
    it printed; 'verdict'.
  """
  claims = [
    fewer_than_half_the_steps(table),
    five_times_is_sooner(table),
    thirty_times_ends_higher(table),
    sigmoid_needs_a_norm(table),
    larger_rates_need_a_norm(table),
  ]
  columns = ['text', 'measured', 'paper', 'verdict']
  result = pd.DataFrame(claims, columns=columns)
  result.insert(0, 'claim', range(1, len(claims) + 1))
  return result


Claim = tuple[str, str, str, str]


def fewer_than_half_the_steps(table: pd.DataFrame) -> Claim:
  """Claim 1: compares each seed with half the baseline's steps."""
  baseline = baseline_steps(table)
  steps = outcomes(table).loc['BN-Baseline', 'steps_to_match']
  return (
    "BatchNorm reaches the un-normalized network's best accuracy in fewer than "
    'half the steps',
    f'{curves.spread(steps)} steps against {baseline:.0f}',
    '13.3 against 31.0 million steps',
    curves.verdict(steps < baseline / 2),
  )


def five_times_is_sooner(table: pd.DataFrame) -> Claim:
  """Claim 2: compares each seed of x5 with the same seed of x1."""
  steps = outcomes(table)['steps_to_match']
  slow, fast = steps['BN-Baseline'], steps['BN-x5']
  return (
    'five times the learning rate reaches it sooner still',
    f'{curves.spread(fast)} steps against {curves.spread(slow)}',
    '2.1 against 13.3 million steps',
    curves.verdict(fast < slow),
  )


def thirty_times_ends_higher(table: pd.DataFrame) -> Claim:
  """Claim 3: later to match, and a higher best accuracy, seed by seed."""
  by_seed = outcomes(table)
  x5, x30 = by_seed.loc['BN-x5'], by_seed.loc['BN-x30']
  later = x30['steps_to_match'] > x5['steps_to_match']
  higher = x30['best_accuracy'] > x5['best_accuracy']
  steps = [curves.spread(run['steps_to_match']) for run in (x30, x5)]
  best = [curves.spread(run['best_accuracy'], '{:.1%}') for run in (x30, x5)]
  networks = [table[table['network'] == name] for name in ('BN-x30', 'BN-x5')]
  crossing = curves.last_crossing(*map(curves.mean_curve, networks))
  where = 'no last crossing' if crossing is None else f'crossing at {crossing}'
  return (
    'thirty times is slower than five times at first, and ends higher',
    f'{steps[0]} steps against {steps[1]}; best {best[0]} against {best[1]}; '
    f'{where}',
    '2.7 against 2.1 million steps; 74.8% against 73.0%',
    curves.verdict(later & higher),
  )


def sigmoid_needs_a_norm(table: pd.DataFrame) -> Claim:
  """Claim 4: above, and not above, twice the accuracy of guessing."""
  best = outcomes(table)['best_accuracy'].fillna(0)
  with_norm, without = best['BN-x5-Sigmoid'], best['Inception-Sigmoid']
  trains = (with_norm > 2 * CHANCE) & (without <= 2 * CHANCE)
  return (
    'a sigmoid network trains with BatchNorm, and not at all without',
    f'best {curves.spread(with_norm, "{:.1%}")} with, '
    f'{curves.spread(without, "{:.1%}")} without; chance is {CHANCE:.0%}',
    '69.8% with; never above chance without',
    curves.verdict(trains),
  )


def larger_rates_need_a_norm(table: pd.DataFrame) -> Claim:
  """Claim 5: diverges, or stays a point below the baseline's best."""
  target = target_of(table)
  own = outcomes(table).loc['Inception-x5']
  diverged = own['diverged_at'].notna()
  badly = own['best_accuracy'].fillna(0) < target - 0.01
  return (
    'without BatchNorm the larger learning rates diverge or train badly',
    f'x5 without a norm: best {curves.spread(own["best_accuracy"], "{:.1%}")} '
    f'against {target:.1%} at x1; {diverged.sum()} of {len(own)} seeds '
    'diverged',
    'x5: the parameters reached machine infinity',
    curves.verdict(diverged | badly),
  )
