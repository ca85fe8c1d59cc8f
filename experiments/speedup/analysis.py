"""What came of the runs, in numbers and in words: pure functions of a table."""

import math

import pandas as pd

from experiments.speedup.networks import BASELINE, NETWORKS
from normlab.analysis import curves


def target_of(table: pd.DataFrame) -> float:
  """The accuracy to match: the best of the baseline's mean curve."""
  return float(curves.mean_curve(table[table['network'] == BASELINE]).max())


def baseline_steps(table: pd.DataFrame) -> float:
  """Steps that the baseline itself needs to match, averaged over its seeds.

  A single curve is noisier than a mean, and crosses a line earlier: so the
  baseline's seeds are measured as those of all others are. One that never
  matches counts with the whole run, which makes the speed-ups a lower bound.
  """
  baseline = table[table['network'] == BASELINE]
  target = target_of(table)
  steps = [
    min(curves.steps_to_match(run, target), run['step'].max())
    for _, run in baseline.groupby('seed')
  ]
  return float(sum(steps) / len(steps))


def outcomes(table: pd.DataFrame) -> pd.DataFrame:
  """What came of each run.

  Args:
    table: one row an evaluation, from `tables.evaluations`.

  Returns:
    One row a network and seed (the index): 'steps_to_match', infinite where it
    never does; 'speed_up' over the baseline, then 0; 'best_accuracy', NaN where
    none was measured; 'diverged_at', NaN where it did not.
  """
  target = target_of(table)
  runs = table.groupby(['network', 'seed'])
  result = pd.DataFrame(
    {
      'steps_to_match': {
        key: curves.steps_to_match(run, target) for key, run in runs
      },
      'best_accuracy': runs['accuracy'].max(),
      'diverged_at': runs['diverged_at'].first(),
    }
  )
  result['speed_up'] = baseline_steps(table) / result['steps_to_match']
  return result.rename_axis(['network', 'seed'])


def analyze(table: pd.DataFrame) -> pd.DataFrame:
  """One row a network: mean, least and most over seeds, and the paper's row.

  Steps and speed-ups are those of the seeds that match, counted in
  'seeds_matched'.

  Args:
    table: one row an evaluation, from `tables.evaluations`.
  """
  by_seed = outcomes(table)
  matched = by_seed.where(by_seed['steps_to_match'] < math.inf)
  columns = {
    'seeds': by_seed.groupby('network').size(),
    'seeds_matched': matched['steps_to_match'].groupby('network').count(),
    'seeds_diverged': by_seed['diverged_at'].groupby('network').count(),
  }
  for name, source in (
    ('steps_to_match', matched),
    ('speed_up', matched),
    ('best_accuracy', by_seed),
  ):
    for kind in ('mean', 'min', 'max'):
      columns[f'{name}_{kind}'] = source[name].groupby('network').agg(kind)
  result = pd.DataFrame(columns).reindex(NETWORKS)
  paper = pd.DataFrame(NETWORKS.values(), index=list(NETWORKS))
  result['paper_steps'] = paper['paper_steps'] * 1e6
  result['paper_speed_up'] = 31.0 / paper['paper_steps'].astype(float)
  result['paper_best_accuracy'] = paper['paper_accuracy'] / 100
  return result.rename_axis('network').reset_index()


def present(table: pd.DataFrame) -> pd.DataFrame:
  """The outcomes as text, the paper's columns beside ours."""
  by_seed = outcomes(table)
  rows = []
  for name, network in NETWORKS.items():
    own = by_seed.loc[name]
    steps = own['steps_to_match']
    diverged = sorted(own['diverged_at'].dropna().astype(int))
    matched = baseline_ratio = '–'
    if network.paper_accuracy and not network.paper_steps:
      matched = 'never'
    if network.paper_steps:
      matched = f'{network.paper_steps:.1f}M'
      ratio = NETWORKS[BASELINE].paper_steps / network.paper_steps
      baseline_ratio = f'{ratio:.1f}'
    rows.append(
      {
        'network': name,
        'steps to match': curves.spread(steps),
        'speed-up': curves.spread(own['speed_up'], '{:.1f}', steps < math.inf),
        'best accuracy': curves.spread(own['best_accuracy'], '{:.1%}'),
        'diverged at step': ', '.join(map(str, diverged)) or '–',
        'paper: steps': matched,
        'paper: speed-up': baseline_ratio,
        'paper: best': f'{network.paper_accuracy:.1f}%'
        if network.paper_accuracy
        else '–',
      }
    )
  return pd.DataFrame(rows)
