"""A second verdict on claims 2, 3 and 5 of `speedup`, from other runs.

Here the networks differ in the norm and the multiplier only; there the faster
ones also drop dropout, decay less and sooner, as the paper's do.
"""

import pandas as pd

from experiments.lr_multipliers.analysis import outcomes, target_of, times
from experiments.speedup import claims
from experiments.speedup.networks import BASELINE
from normlab.analysis import curves

# The networks of the paper, as norm and multiplier.
NETWORKS = {
  ('none', 1.0): BASELINE,
  ('batch', 1.0): 'BN-Baseline',
  ('batch', 5.0): 'BN-x5',
  ('batch', 30.0): 'BN-x30',
}


def judge(table: pd.DataFrame) -> pd.DataFrame:
  """The verdicts, from the records alone; claims that fail are among them.

  Args:
    table: one row an evaluation, from `tables.evaluations`.

  Returns:
    One row a claim: 'claim', its number; 'text'; 'measured' here; 'paper', what
    it printed; 'verdict'.
  """
  papers = as_networks(table)
  found = {
    2: claims.five_times_is_sooner(papers),
    3: claims.thirty_times_ends_higher(papers),
    5: larger_rates_need_a_norm(table),
  }
  columns = ['text', 'measured', 'paper', 'verdict']
  result = pd.DataFrame(found.values(), columns=columns)
  result.insert(0, 'claim', list(found))
  return result


def as_networks(table: pd.DataFrame) -> pd.DataFrame:
  """The rows of the paper's networks, under the names that `speedup` uses."""
  keys = zip(table['norm'], table['multiplier'], strict=True)
  named = table.assign(network=[NETWORKS.get(key) for key in keys])
  return named.dropna(subset='network')


def larger_rates_need_a_norm(table: pd.DataFrame) -> claims.Claim:
  """Claim 5, at five times the rate and above: a seed agrees if all do.

  A run diverges, or stays a point below the best of the baseline's mean curve.
  """
  target = target_of(table)
  own = outcomes(table).sort_index().loc['none'].reset_index()
  own = own[own['multiplier'] >= 5]
  diverged = own['diverged_at'].notna()
  badly = own['best_accuracy'].fillna(0) < target - 0.01
  by_seed = (diverged | badly).groupby(own['seed']).all()
  measured = [
    f'{times(multiplier)}: best '
    f'{curves.spread(runs["best_accuracy"], "{:.1%}")}'
    f', {runs["diverged_at"].count()} of {len(runs)} seeds diverged'
    for multiplier, runs in own.groupby('multiplier')
  ]
  return (
    'without BatchNorm the larger learning rates diverge or train badly',
    f'without a norm, against {target:.1%} at x1: {"; ".join(measured)}',
    'x5: the parameters reached machine infinity',
    curves.verdict(by_seed),
  )
