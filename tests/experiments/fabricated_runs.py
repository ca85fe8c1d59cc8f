"""Tables of an experiment with known curves in place of training."""

import math

import pandas as pd

STEPS = range(50, 1050, 50)
NEVER = math.inf


def curve(reached, end):
  """Accuracies of a run that gets to its end in one jump."""
  return [end if step >= reached else min(end, 0.3) for step in STEPS]


def table(experiment, curves, *, scale='digits', odd=None, diverged=None):
  """One row an evaluation of all runs of a scale.

  Args:
    experiment: of which the runs are.
    curves: by arm, the arguments of `curve`.
    scale: a name of its scales.
    odd: by arm and seed, in place of those.
    diverged: by arm and seed, the step.
  """
  rows = []
  for run in experiment.all_runs(scale):
    key = run.labels['arm'], run.labels['seed']
    accuracies = curve(*(odd or {}).get(key, curves[key[0]]))
    for step, accuracy in zip(STEPS, accuracies, strict=True):
      rows.append(
        {
          **run.labels,
          'step': step,
          'accuracy': accuracy,
          'loss': 1 - accuracy,
          'diverged_at': (diverged or {}).get(key, math.nan),
        }
      )
  return pd.DataFrame(rows)


def verdicts(experiment, table):
  """By the number of the claim."""
  return dict(experiment.judge(table)[['claim', 'verdict']].to_numpy())
