"""The outcomes as a table for people, the paper's beside ours."""

import math

import pandas as pd

from experiments.speedup.runs import ARMS, BASELINE
from normlab.analysis import verdicts
from normlab.analysis.outcomes import NOTHING, spread


def present(outcomes: pd.DataFrame, target: float) -> pd.DataFrame:
  """One row an arm: medians and ranges over its seeds.

  Args:
    outcomes: one row a run, by arm and seed.
    target: the accuracy that steps are counted to.
  """
  rows = []
  baseline = outcomes.loc[BASELINE, 'steps_to_match']
  for name, arm in ARMS.items():
    own = outcomes.loc[name]
    steps = own['steps_to_match']
    speed_up = verdicts.ratios(baseline.tolist(), steps.tolist())
    diverged = sorted(own['diverged_at'].dropna().astype(int))
    rows.append(
      {
        'network': name,
        'seeds': len(own),
        f'steps to {target:.1%}': spread(steps),
        'speed-up': factor(speed_up.estimate),
        'accuracy at the end': spread(own['accuracy'], '{:.1%}'),
        'diverged at step': ', '.join(map(str, diverged)) or NOTHING,
        'paper: steps': paper_steps(name),
        'paper: speed-up': f'{ARMS[BASELINE].paper_steps / arm.paper_steps:.1f}'
        if arm.paper_steps
        else NOTHING,
        'paper: best': f'{arm.paper_accuracy:.1f}%'
        if arm.paper_accuracy
        else NOTHING,
      }
    )
  return pd.DataFrame(rows)


def factor(speed_up: float) -> str:
  """A speed-up as text; infinite where the baseline never arrives."""
  if math.isnan(speed_up):
    return NOTHING
  if math.isinf(speed_up):
    return '\N{INFINITY}'
  return f'{speed_up:.1f}' if speed_up else 'never'


def paper_steps(name: str) -> str:
  """The paper's steps to 72.2%."""
  arm = ARMS[name]
  if arm.paper_steps:
    return f'{arm.paper_steps:.1f}M'
  return 'never' if arm.paper_accuracy else NOTHING
