"""From what the probe measured to outcomes, and these as a table for people."""

import math
from typing import Any

import pandas as pd

from experiments.landscape.runs import ARMS
from normlab.analysis import outcomes, tables
from normlab.analysis.outcomes import NOTHING, spread
from normlab.records import Record

TO_MATCH = 'training_steps_to_match'
# Shares of the run: medians are over the first, before all networks have
# learned; the training accuracy at the end is over the last.
EARLY, LATE = 0.5, 0.1
RANDOM = '_random'


def measure(record: Record) -> pd.DataFrame:
  """The ends of the bands over the step lengths, and the training accuracy.

  Returns:
    By step: 'shortest' and 'longest', step lengths in units of the gradient;
    'loss_low', 'loss_high', 'gradient_low', 'gradient_high' (of the norm of the
    change of the gradient), 'smoothness', the largest; the same of a random
    direction with '_random'; 'train_accuracy'.
  """
  seen = record.probe('landscape')
  lengths = seen['lengths']
  columns = {'shortest': lengths.min(1), 'longest': lengths.max(1)}
  for suffix in ('', RANDOM):
    for name, of in (('loss', 'loss'), ('gradient', 'gradient_difference')):
      columns[f'{name}_low{suffix}'] = seen[f'{of}{suffix}'].min(1)
      columns[f'{name}_high{suffix}'] = seen[f'{of}{suffix}'].max(1)
    columns[f'smoothness{suffix}'] = seen[f'smoothness{suffix}'].max(1)
  measured = pd.DataFrame(columns, index=seen['step'])
  trained = tables.training(record)[['train_accuracy']]
  return measured.join(trained, how='outer')


def further_outcomes(run: pd.DataFrame) -> dict[str, Any]:
  """The numbers of a run that claims compare, and the table shows.

  Returns:
    'loss_band' and 'gradient_band', widths over the step lengths, and
    'smoothness': medians over the measurements of the first half of the run,
    also with '_random'; 'largest_smoothness' of the run; 'shortest' and
    'longest'; `TO_MATCH`, the first step of a training row with the 'target',
    infinite if there is none; 'train_accuracy', mean of
    the last tenth, 0 of a run that diverged.
  """
  last = run['step'].max()
  early = run[run['step'] <= EARLY * last]
  found = {}
  for suffix in ('', RANDOM):
    for name in ('loss', 'gradient'):
      width = early[f'{name}_high{suffix}'] - early[f'{name}_low{suffix}']
      found[f'{name}_band{suffix}'] = width.median()
    found[f'smoothness{suffix}'] = early[f'smoothness{suffix}'].median()
  target = run['target'].iloc[0]
  arrived = run.loc[run['train_accuracy'] >= target, 'step']
  late = run.loc[run['step'] > (1 - LATE) * last, 'train_accuracy']
  diverged = outcomes.has_diverged(run)
  never = diverged or arrived.empty
  return found | {
    'target': target,
    'largest_smoothness': run['smoothness'].max(),
    'shortest': run['shortest'].max(),
    'longest': run['longest'].max(),
    TO_MATCH: math.inf if never else float(arrived.min()),
    'train_accuracy': 0.0 if diverged else late.mean(),
  }


def present(outcomes: pd.DataFrame, target: float | None) -> pd.DataFrame:
  """One row an arm: medians and ranges over its seeds.

  Args:
    outcomes: one row a run, by arm and seed.
    target: none here.
  """
  rows = []
  for name, arm in ARMS.items():
    own = outcomes.loc[name]
    diverged = sorted(own['diverged_at'].dropna().astype(int))
    low, high = own['shortest'].median(), own['longest'].median()
    rows.append(
      {
        'network': name,
        'seeds': len(own),
        'step lengths': f'{low:.3g}{NOTHING}{high:.3g}',
        'loss band': spread(own['loss_band'], '{:.2f}'),
        'gradient band': spread(own['gradient_band'], '{:.1f}'),
        'smoothness': spread(own['smoothness'], '{:.1f}'),
        'largest': spread(own['largest_smoothness'], '{:.1f}'),
        'loss band, random': spread(own[f'loss_band{RANDOM}'], '{:.3f}'),
        f'steps to {outcomes["target"].iloc[0]:.0%}': spread(own[TO_MATCH]),
        'paper, to 90%': f'{arm.paper_steps:,}',
        'training accuracy': spread(own['train_accuracy'], '{:.1%}'),
        'validation accuracy': spread(own['accuracy'], '{:.1%}'),
        'diverged at step': ', '.join(map(str, diverged)) or NOTHING,
      }
    )
  return pd.DataFrame(rows)
